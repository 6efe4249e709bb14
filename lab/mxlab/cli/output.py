"""What the commands print: tables and JSON on standard output, words on standard error.

Guarantee: whatever is printed here, but for a program's own JSON, went through `mxlab.visible`: no
text from outside reaches a terminal as a command to it. Colour stands only where a terminal is, and
NO_COLOR is not set, and never says what words do not.
"""

import contextvars
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import typer

from mxlab.cli.layout import hanging, laid_out
from mxlab.errors import LabError, ScenarioError
from mxlab.visible import exact_json, plain_json, visible, visible_text

if TYPE_CHECKING:
    import asyncio

PROGRESS_SECONDS = 1.0
# Where what is said goes instead, each text once: set where a program types the command.
HEARD: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar(
    "mxlab_heard", default=None
)
GREEN, YELLOW, RED = "32", "33", "31"
COLOURS = {
    "pass": GREEN, "PASSED": GREEN, "ok": GREEN, "✓": GREEN,
    "????": YELLOW, "INCONCLUSIVE": YELLOW, "note": YELLOW,
    "FAIL": RED, "FAILED": RED, "NO": RED, "✗": RED,
}  # fmt: skip


def say(text: str = "") -> None:
    """Lines of the answer, as they are but for what is not visible."""
    _write(visible_text(text), sys.stdout)


def say_line(text: str, *, hang: int = 4, mark: str = "") -> None:
    """One line of the answer. At a terminal it is broken between words, with a hanging indent of
    `hang`, and the first `mark` in it has its colour (see COLOURS)."""
    _line(text, sys.stdout, hang, mark)


def note(text: str, *, hang: int = 7, mark: str = "") -> None:
    """A line for people, on standard error; broken as that of `say_line`."""
    for line in text.replace("\r\n", "\n").split("\n"):
        _line(line, sys.stderr, hang, mark)


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
        say_line(f" {'->' if line.startswith('C: ') else '<-'} {line[3:]}")


def say_json(value: Any, *, indent: int = 2) -> None:
    """The value as JSON, exact; `indent` 0: on one line."""
    _write(exact_json(value, indent), sys.stdout)


def say_json_text(text: str) -> None:
    """JSON that is made already, exact."""
    _write(plain_json(text).rstrip("\n"), sys.stdout)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as they need to be, two spaces apart; numbers to the right. Where a terminal
    is too narrow, rows go on in further lines."""
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    for line in laid_out(headings, cells, width(sys.stdout)):
        _write(line, sys.stdout)


def stamp(at: float) -> str:
    """A moment of lab time, to the second, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %H:%M:%S")


def width(stream: TextIO) -> int | None:
    """The columns of the terminal behind the stream; None where there is none: nothing is broken
    there, so that programs find whole lines."""
    return shutil.get_terminal_size().columns if _is_terminal(stream) else None


def _line(text: str, stream: TextIO, hang: int, mark: str) -> None:
    for line in hanging(visible(text), width(stream), hang):
        _write(_coloured(line, stream, mark), stream)
        mark = ""


def _coloured(line: str, stream: TextIO, mark: str) -> str:
    colour = COLOURS.get(mark)
    if colour is None or not colours(stream):
        return line
    return line.replace(mark, f"\x1b[{colour}m{mark}\x1b[0m", 1)


def colours(stream: TextIO) -> bool:
    """Whether colour may be used: at a terminal that has it, unless NO_COLOR says otherwise."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return _is_terminal(stream) and not plain


def _is_terminal(stream: TextIO) -> bool:
    return HEARD.get() is None and stream.isatty()


def _write(text: str, stream: TextIO) -> None:
    """In UTF-8, whatever the locale says: what mail brings is in no locale's charset."""
    if (heard := HEARD.get()) is not None:
        heard.append(text)
        return
    typer.echo(text.encode("utf-8", "backslashreplace"), err=stream is sys.stderr)


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
    return _is_terminal(sys.stdin) and sys.stdout.isatty()
