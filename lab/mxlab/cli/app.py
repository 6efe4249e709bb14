"""Puts the commands together, and turns errors into words and exit codes in one place."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mxlab import __version__
from mxlab.cli.examples import add_examples
from mxlab.cli.output import complain
from mxlab.cli.words import refuse_bytes
from mxlab.errors import EXIT_INTERRUPTED, LabError
from mxlab.startup import loaded
from mxlab.visible import visible_text

# Each module of commands, in the order of `mxlab --help`, with the commands that it registers.
PARTS = {
    "up": ("up",),
    "down": ("down",),
    "status": ("status",),
    "graph": ("graph",),
    "doctor": ("doctor",),
    "run": ("run",),
    "check": ("check",),
    "judge": ("judge",),
    "reset": ("reset",),
    "explain": ("explain",),
    "compare": ("compare",),
    "chaos": ("chaos",),
    "whatif": ("what-if",),
    "audit": ("audit",),
    "conform": ("conform",),
    "send": ("send",),
    "queue": ("queue", "qshape", "flush", "etrn"),
    "mailbox": ("mailbox",),
    "submission": ("ca",),
    "dns": ("dig", "route"),
    "trace": ("trace",),
    "capture": ("capture",),
    "node": ("stop", "start", "kill", "pause", "resume", "shell", "exec"),
    "board": ("board",),
    "logs": ("logs",),
    "fault": ("fault", "heal"),
    "config": ("config",),
    "scenario": ("scenario",),
    "exercise": ("exercise",),
    "image": ("image",),
    "export": ("export",),
    "zone": ("zone",),
    "learn": ("learn",),
    "classroom": ("class",),
}
_MODULES = {command: part for part, commands in PARTS.items() for command in commands}
# click's error for a wrong command line; typer has a click of its own in some versions.
MISUSE: type[Exception] = typer.BadParameter.__base__ or typer.BadParameter


class Commands(Mapping[str, Any]):
    """The commands by name. A module of them is loaded when one of its commands is asked for, so
    that a command does not wait for all others."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            module = import_module(f"mxlab.cli.{_MODULES[name]}")
            part = typer.Typer(rich_markup_mode=None)
            module.register(part)
            made = typer.main.get_group(part).commands
            for word, command in made.items():
                add_examples(command, word)
            self._made |= made
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


class LabGroup(TyperGroup):
    """The top of the commands: whatever goes wrong below passes here."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = Commands()  # type: ignore[assignment]

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
