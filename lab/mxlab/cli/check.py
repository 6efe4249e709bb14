"""check: judge a recorded run again."""

from pathlib import Path
from typing import Annotated

import typer

from mxlab.cli.options import AsJson
from mxlab.cli.output import say_json_text
from mxlab.cli.reports import HtmlFile, JunitFile, ReportFile, Reports, as_json, say_report
from mxlab.errors import UsageError


def register(app: typer.Typer) -> None:
    app.command()(check)


def check(
    recording: Annotated[
        Path, typer.Argument(metavar="RUN.jsonl", help="What `mxlab run --record` wrote.")
    ],
    junit: JunitFile = None,
    report: ReportFile = None,
    html: HtmlFile = None,
    json: AsJson = False,
) -> None:
    """Judge a recorded run again, offline: the same findings, the same exit code.

    From a recording of which one byte is not as it was written, nothing is concluded (exit 4).
    """
    reports = Reports(junit, report, html)
    try:
        data = recording.read_bytes()
    except OSError as error:
        raise UsageError(f"{recording} cannot be read: {error.strerror}") from error
    from mxlab.report.recording import judge_again

    result = judge_again(data, str(recording))
    reports.write([result])
    if json:
        say_json_text(as_json([result]))
    else:
        say_report(result)
    raise typer.Exit(result.exit_code)
