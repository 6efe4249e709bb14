"""A command line that a person could type, typed by a program, and what it came to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mxlab.backends.base import Lab


@dataclass(frozen=True, slots=True)
class Typed:
    """What a command line came to. `output`: all that it said, standard error with it."""

    exit_code: int
    output: str


# Types a line of mxlab's on a lab: `cli.hands.type_command`, which rooms below the commands are
# given. Raises UsageError for what is no line of such a command.
Hands = Callable[[Lab, str], Awaitable[Typed]]
