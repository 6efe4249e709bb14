"""Where the reports of runs go: their paths, checked before anything runs, and the writing."""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mxlab.cli.output import COLOURS, note, say, say_line
from mxlab.errors import EnvironmentProblem, UsageError

if TYPE_CHECKING:
    from mxlab.bundle.gather import ForBundle
    from mxlab.bundle.verify import CheckedBundle
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
BundleFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Keep all evidence in one file; `mxlab check FILE` judges it again."
    ),
]


@dataclass(frozen=True, slots=True)
class Reports:
    """The files that are wanted. Raises UsageError, when made, for one that cannot be written."""

    junit: Path | None = None
    report: Path | None = None
    html: Path | None = None
    record: Path | None = None
    bundle: Path | None = None

    def __post_init__(self) -> None:
        files = (self.junit, self.report, self.html, self.record, self.bundle)
        wanted = [path for path in files if path is not None]
        for number, path in enumerate(wanted):
            check_writable(path)
            if _kind(path) != "device" and path.resolve() in (p.resolve() for p in wanted[:number]):
                raise UsageError(f"two reports cannot both be {path}")

    def write(self, results: "list[RunResult]", kept: "ForBundle | None" = None) -> None:
        """Write them all; the recording, from which the others can be made again, first, and the
        bundle last, for which `kept` is what was kept beside."""
        self._write_reports(results)
        if self.bundle is not None and kept is not None:
            for result in results:
                self._write_bundle(self.bundle, result, kept)

    def _write_bundle(self, path: Path, result: "RunResult", kept: "ForBundle") -> None:
        from mxlab.bundle.pack import EvidenceBundle
        from mxlab.bundle.verify import file_digest

        EvidenceBundle(result, kept).write(path)
        if _kind(path) == "file":
            note(f"mxlab: {path} has SHA-256 {file_digest(path)}; note it down elsewhere")

    def _write_reports(self, results: "list[RunResult]") -> None:
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


def say_bundle(checked: "CheckedBundle") -> None:
    """What came of a bundle, for people: its report, then whether it is as it was written."""
    if checked.result is not None:
        say_report(checked.result)
    parts, by = len(checked.manifest.parts), checked.manifest.mxlab
    if not checked.differences:
        say_line(f"bundle: {parts} parts as they were written by mxlab {by}, judged to the same")
    for one in checked.differences:
        say_line(f"  NO    {one.part}: {one.text}", hang=FINDING, mark="NO")
        if one.expected:
            say_line(f"        expected SHA-256 {one.expected}", hang=FINDING)
        if one.found:
            say_line(f"        found    SHA-256 {one.found}", hang=FINDING)
    if checked.differences:
        say_line(f"INCONCLUSIVE: {len(checked.differences)} differences", mark="INCONCLUSIVE")
    say_line(f"the file has SHA-256 {checked.sha256}")


def bundle_json(checked: "CheckedBundle") -> str:
    """The run's document, with the bundle beside it; of a run that cannot be read, that alone."""
    from msgspec import to_builtins

    from mxlab.report.document import document
    from mxlab.visible import exact_json

    result = checked.result
    run = {} if result is None else to_builtins(document(result), str_keys=True)
    bundle = {
        "sha256": checked.sha256,
        "mxlab": checked.manifest.mxlab,
        "parts": len(checked.manifest.parts),
        "differences": checked.differences,
    }
    whole = {**run, "verdict": checked.verdict, "exit_code": checked.exit_code, "bundle": bundle}
    return exact_json(to_builtins(whole), indent=2) + "\n"


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
