"""What the commands print: tables and JSON on standard output, words on standard error."""

import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from mxlab.errors import LabError, ScenarioError

if TYPE_CHECKING:
    import asyncio

PROGRESS_SECONDS = 1.0


def say(text: str = "") -> None:
    """A line of the answer. Characters that are no text (surrogate escapes) go out as bytes."""
    typer.echo(text.encode("utf-8", "surrogateescape"))


def note(text: str) -> None:
    """A line for people, on standard error."""
    typer.echo(text, err=True)


def complain(problem: LabError | str) -> None:
    """Say what is wrong and what to do next; of a scenario file, all that is wrong."""
    for one in problem.every if isinstance(problem, ScenarioError) else (problem,):
        note(f"mxlab: {one}")
        if isinstance(one, LabError):
            for text in (*getattr(one, "__notes__", ()), one.hint):
                if text:
                    note(f"       {text}")


def say_dialog(dialog: Iterable[str]) -> None:
    """An SMTP conversation as the events hold it, with arrows for who speaks."""
    for line in dialog:
        say(f" {'->' if line.startswith('C: ') else '<-'} {line[3:]}")


def say_json(value: Any, *, indent: int = 2) -> None:
    """The value as JSON; `indent` 0: on one line."""
    import msgspec

    text = msgspec.json.encode(value)
    say((msgspec.json.format(text, indent=indent) if indent else text).decode())


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as they need to be, two spaces apart; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    numeric = [all(row[n].isdecimal() for row in cells) for n in range(len(headings))]
    widths = [max(len(row[n]) for row in [list(headings), *cells]) for n in range(len(headings))]
    for row in [list(headings), *cells]:
        words = (
            cell.rjust(width) if right and cells else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        say("  ".join(words).rstrip())


class Waiting:
    """Says on standard error what is being done, once it has taken longer than a second.

    A context manager for use on the running loop, and a `Progress`.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, doing: str) -> None:
        import asyncio

        self._cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PROGRESS_SECONDS, note, f"mxlab: {doing} ...")

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def __enter__(self) -> "Waiting":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cancel()


def at_terminal() -> bool:
    """Whether somebody sits in front of it."""
    return sys.stdin.isatty() and sys.stdout.isatty()
