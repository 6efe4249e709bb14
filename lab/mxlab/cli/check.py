"""check: judge a recorded run, or a bundle of evidence, again."""

from pathlib import Path
from typing import Annotated

import typer

from mxlab.cli.options import AsJson
from mxlab.cli.output import say_json_text
from mxlab.cli.reports import (
    HtmlFile,
    JunitFile,
    ReportFile,
    Reports,
    as_json,
    bundle_json,
    say_bundle,
    say_report,
)
from mxlab.errors import UsageError


def register(app: typer.Typer) -> None:
    app.command()(check)


def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `mxlab run --record` or --bundle wrote.")
    ],
    junit: JunitFile = None,
    report: ReportFile = None,
    html: HtmlFile = None,
    json: AsJson = False,
) -> None:
    """Judge a recorded run again, offline: the same findings, the same exit code.

    From a file of which one byte is not as it was written, nothing is concluded (exit 4); of a
    bundle it is told what was changed, and where it contradicts itself.

    For example: mxlab check run.jsonl; mxlab check run.zip --json
    """
    reports = Reports(junit, report, html)
    if _begins(file) == BUNDLE:
        raise typer.Exit(_bundle(file, reports, json=json))
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    from mxlab.report.recording import judge_again

    result = judge_again(data, str(file))
    reports.write([result])
    if json:
        say_json_text(as_json([result]))
    else:
        say_report(result)
    raise typer.Exit(result.exit_code)


BUNDLE = b"PK"  # how a zip file begins


def _begins(path: Path) -> bytes:
    """The first bytes of a file, where it is one: a pipe can be read but once, by who needs it."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(len(BUNDLE))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _bundle(path: Path, reports: Reports, *, json: bool) -> int:
    """Check a bundle; returns the exit code."""
    from mxlab.bundle.verify import verify

    checked = verify(path)
    if checked.result is not None:
        reports.write([checked.result])
    if json:
        say_json_text(bundle_json(checked))
    else:
        say_bundle(checked)
    return checked.exit_code
