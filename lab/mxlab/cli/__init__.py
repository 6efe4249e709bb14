"""The `mxlab` command. Each group of commands is a module: parse, call, render, exit code.

Heavy imports are made inside the commands, so that `mxlab --help` is quick.
"""

from mxlab.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """The console script's entry point."""
    app(prog_name="mxlab")
