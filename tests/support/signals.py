"""Starting a program that a test is going to interrupt."""

import signal
from collections.abc import Sequence

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interruptible(command: Sequence[str]) -> list[str]:
    """The command with the interrupting signals as a terminal's programs have them.

    A suite that a script starts in the background ignores SIGINT (POSIX.1 §2.11 of the shell), and
    so would all that it starts: an ignored signal stays ignored over exec.
    """
    names = ",".join(number.name.removeprefix("SIG") for number in INTERRUPTS)
    return ["env", f"--default-signal={names}", *command]
