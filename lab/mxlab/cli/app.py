"""Puts the commands together, and turns errors into words and exit codes in one place."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mxlab import __version__
from mxlab.cli import (
    audit,
    board,
    chaos,
    compare,
    config,
    conform,
    dns,
    exercise,
    explain,
    export,
    fault,
    image,
    judge,
    learn,
    logs,
    mailbox,
    node,
    queue,
    reset,
    run,
    scenario,
    send,
    status,
    submission,
    trace,
    whatif,
    zone,
)
from mxlab.cli import check as recorded
from mxlab.cli import doctor as check
from mxlab.cli import up as lifecycle
from mxlab.cli.output import complain
from mxlab.cli.words import refuse_bytes
from mxlab.errors import EXIT_INTERRUPTED, LabError
from mxlab.startup import loaded
from mxlab.visible import visible_text

# click's error for a wrong command line; typer has a click of its own in some versions.
MISUSE: type[Exception] = typer.BadParameter.__base__ or typer.BadParameter


class LabGroup(TyperGroup):
    """The top of the commands: whatever goes wrong below passes here."""

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **more: Any) -> Any:
        try:
            return super().make_context(info_name, args, parent, **more)
        except MISUSE as error:
            _make_visible(error)
            raise

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As ever, but for words that are no text."""
        try:
            refuse_bytes(args)
        except LabError as error:
            complain(error)
            raise typer.Exit(error.exit_code) from error
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        loaded()
        try:
            return super().invoke(ctx)
        except LabError as error:
            complain(error)
            raise typer.Exit(error.exit_code) from error
        except MISUSE as error:
            _make_visible(error)
            raise
        except (KeyboardInterrupt, typer.Abort) as error:
            complain("interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from error


def _make_visible(misuse: Exception) -> None:
    """Let the error repeat the wrong word of the command line as `visible_text` shows it."""
    misuse.message = visible_text(misuse.message)  # type: ignore[attr-defined]


app = typer.Typer(
    cls=LabGroup,
    name="mxlab",
    help="A miniature mail system for hands-on labs: bring it up, break it, see what becomes of "
    "every message.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mxlab {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


for part in (
    lifecycle,
    status,
    check,
    run,
    recorded,
    judge,
    reset,
    explain,
    compare,
    chaos,
    whatif,
    audit,
    conform,
    send,
    queue,
    mailbox,
    submission,
    dns,
    trace,
    node,
    board,
    logs,
    fault,
    config,
):
    part.register(app)
for name, group in (
    ("scenario", scenario.app),
    ("exercise", exercise.app),
    ("image", image.app),
    ("export", export.app),
    ("zone", zone.app),
    ("learn", learn.app),
):
    app.add_typer(group, name=name)
