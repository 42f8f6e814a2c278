"""What can go wrong with a local stack, told in one line."""

from erp.process import Failure


class StackError(Failure):
    """The stack cannot do what was asked; the message is one line that says what to do."""
