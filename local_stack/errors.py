"""What can go wrong with a local stack, each told in one line."""


class StackError(Exception):
    """The stack cannot do what was asked; the message is one line that says what to do."""


class UsageError(StackError):
    """What was asked, or a setting, makes no sense; nothing was tried."""
