"""The one error that a wrong file, frame or option raises."""


class InputError(ValueError):
    """What the user can mend: the message is one line that says what is wrong, where, and which option helps."""
