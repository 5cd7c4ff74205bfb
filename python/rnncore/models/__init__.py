"""Models: layers over one flat vector of parameters, a batch's way through them, and their files."""
