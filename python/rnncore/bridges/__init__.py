"""Bridges to other frameworks and their files: each imports its framework when it is imported itself."""
