"""The `mxlab` command, also as `python -m mxlab`: loads the rest, and hands over to it."""

import os
import sys

from mxlab.startup import loading


def main() -> None:
    """The console script's entry point."""
    loading()
    _open_what_is_closed()
    from mxlab.cli import main as run

    run()


def _open_what_is_closed() -> None:
    """Where a shell closed a standard stream (`>&-`) it leads nowhere, rather than to whichever
    file is opened next."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


if __name__ == "__main__":
    main()
