"""Where the reports of runs go: their paths, checked before anything runs, and the writing."""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mxlab.cli.output import COLOURS, say, say_line
from mxlab.errors import EnvironmentProblem, UsageError

if TYPE_CHECKING:
    from mxlab.runner.result import RunResult

MARK, FINDING = 2, 8  # columns before a finding's mark, and before its text
JunitFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML for CI.")]
ReportFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the report as JSON (of several runs: a list)."),
]
HtmlFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write one HTML file: timeline, findings, conversations."),
]
RecordFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Record the run; `mxlab check FILE` judges it again."),
]


@dataclass(frozen=True, slots=True)
class Reports:
    """The files that are wanted. Raises UsageError, when made, for one that cannot be written."""

    junit: Path | None = None
    report: Path | None = None
    html: Path | None = None
    record: Path | None = None

    def __post_init__(self) -> None:
        wanted = [p for p in (self.junit, self.report, self.html, self.record) if p is not None]
        for number, path in enumerate(wanted):
            check_writable(path)
            if _kind(path) != "device" and path.resolve() in (p.resolve() for p in wanted[:number]):
                raise UsageError(f"two reports cannot both be {path}")

    def write(self, results: "list[RunResult]") -> None:
        """Write them all; the recording, from which the others can be made again, first."""
        try:
            if self.record is not None:
                from mxlab.report.recording import record

                self.record.write_bytes(b"".join(map(record, results)))
            if self.junit is not None:
                from mxlab.report.junit import junit

                self.junit.write_text(junit(results), encoding="utf-8")
            if self.report is not None:
                self.report.write_text(as_json(results), encoding="utf-8")
            if self.html is not None:
                from mxlab.report.html import html

                self.html.write_text(html(results), encoding="utf-8")
        except OSError as error:
            raise EnvironmentProblem(f"the report could not be written: {error}") from error


def as_json(results: "list[RunResult]") -> str:
    """One run's document, or a list of several."""
    from mxlab.report.document import document, to_json
    from mxlab.visible import exact_json

    if len(results) == 1:
        return to_json(results[0])
    return exact_json([document(result) for result in results], indent=2) + "\n"


def say_report(result: "RunResult") -> None:
    """The report of a run for people: as `mxlab.report.text` has it, fitted to a terminal."""
    from mxlab.report.text import text

    for line in text(result).split("\n"):
        indent = len(line) - len(line.lstrip())
        first = line.split(maxsplit=1)[0].rstrip(":") if line.strip() else ""
        hang = FINDING if indent == MARK and first in COLOURS else indent + 2
        if first == "again":
            say(line)  # a command to be copied
        else:
            say_line(line, hang=hang, mark=first if indent <= MARK else "")


def check_writable(path: Path) -> None:
    """Raise UsageError for a report's path that cannot be written: before the run, not after.

    Leaves no file behind, and none changed.
    """
    try:
        kind = _kind(path)
        if kind == "folder":
            raise UsageError(f"{path} is a folder", "give the name of a file in it")
        if not path.parent.is_dir():
            raise UsageError(f"{path.parent} is no folder", "make it first")
        if kind == "device":
            return  # to open a pipe might wait, or say something to its reader
        path.open("ab").close()
        if kind == "nothing":
            path.unlink()
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _kind(path: Path) -> Literal["nothing", "file", "folder", "device"]:
    """What is there. Raises OSError where nothing can be."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "device"
