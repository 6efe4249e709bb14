"""The first moments of the command: what an interruption means while the rest is still loading.

Ctrl-C then ends it at once, with exit code 130 and no traceback: nothing has begun that would have
to be undone. From `loaded` on it is a KeyboardInterrupt, as ever.
"""

# What `signal` is made of: `signal` itself loads enum, which takes longer than all else here.
import _signal as signals  # type: ignore[import-not-found]
import os

SAID = b"mxlab: interrupted\n"
CODE = 130


def loading() -> None:
    """From now on an interruption just ends the process."""
    if signals.getsignal(signals.SIGINT) is signals.default_int_handler:  # else it is ignored
        signals.signal(signals.SIGINT, _quit)


def loaded() -> None:
    """What is interrupted from now on may have to undo something."""
    if signals.getsignal(signals.SIGINT) is _quit:
        signals.signal(signals.SIGINT, signals.default_int_handler)


def _quit(number: int, frame: object) -> None:
    os.write(2, SAID)
    os._exit(CODE)
