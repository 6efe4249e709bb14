"""The `mxlab` command, also as `python -m mxlab`: loads the rest, and hands over to it.

Ctrl-C while it loads ends it at once, with exit code 130 and no traceback: nothing has begun that
would have to be undone. From then on it is a KeyboardInterrupt, as ever.
"""

# What `signal` is made of: `signal` itself loads enum, which takes longer than all else here.
import _signal as signals  # type: ignore[import-not-found]
import os
import sys

SAID = b"mxlab: interrupted\n"
CODE = 130


def main() -> None:
    """The console script's entry point."""
    if signals.getsignal(signals.SIGINT) is signals.default_int_handler:  # else it is ignored
        signals.signal(signals.SIGINT, _quit)
    _open_what_is_closed()
    from mxlab.cli import main as run

    run()


def loaded() -> None:
    """What is interrupted from now on may have to undo something."""
    if signals.getsignal(signals.SIGINT) is _quit:
        signals.signal(signals.SIGINT, signals.default_int_handler)


def _open_what_is_closed() -> None:
    """Where a shell closed a standard stream (`>&-`) it leads nowhere, rather than to whichever
    file is opened next."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _quit(number: int, frame: object) -> None:
    os.write(2, SAID)
    os._exit(CODE)


if __name__ == "__main__":
    from mxlab.__main__ import main as once  # the module that `loaded` is of

    once()
