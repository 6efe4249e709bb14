"""Types mxlab's command lines on a lab, inside the loop in which that lab lives, in whatever world.

The real commands, parsed as the shell's words are; what they say is returned. Only those that see
and change a lab that is up, and end by themselves.
"""

import functools
import shlex
from typing import Any

import typer

from mxlab.backends.base import Lab
from mxlab.cli.app import MISUSE, app
from mxlab.cli.output import HEARD, complain, note
from mxlab.cli.running import HANDS, Handed
from mxlab.errors import EXIT_OK, LabError, UsageError, nearest
from mxlab.operate.hands import Typed

CAN_TYPE = (
    "config", "dig", "etrn", "explain", "fault", "flush", "heal", "judge", "kill", "logs",
    "mailbox", "pause", "qshape", "queue", "resume", "route", "send", "start", "status", "stop",
    "trace", "zone add", "zone list", "zone remove", "zone set",
)  # fmt: skip
_ELSEWHERE = {
    "--lab": "the lab is the one of the exercise",
    "--follow": "it does not end by itself",
    "-f": "it does not end by itself",
    "--help": "it does nothing",
    "-": "nobody sits at standard input",
}


async def type_command(lab: Lab, line: str) -> Typed:
    """Type `line` on that lab. Whatever a person would be told is in what is returned: a wrong
    option and a node that is down too. Raises UsageError for what is no line of such a command."""
    words = words_of(line)
    heard: list[str] = []
    at_hand, hearing = HANDS.set(lab), HEARD.set(heard)
    try:
        code = await _typed(words)
    finally:
        HANDS.reset(at_hand)
        HEARD.reset(hearing)
    return Typed(code, "".join(f"{text}\n" for text in heard))


def command_problem(line: str) -> str:
    """Why that is no line that `type_command` could type, or nothing. What only the lab can tell,
    such as whether a node is there, is not looked at."""
    try:
        words = words_of(line)
        heard = HEARD.set([])
        try:
            _parse(words)
        finally:
            HEARD.reset(heard)
    except LabError as error:
        return f"{error}: {error.hint}" if error.hint else str(error)
    except MISUSE as error:
        return _said_by(error)
    return ""


def words_of(line: str) -> list[str]:
    """The words after `mxlab`. Raises UsageError."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{line!r} is no command line: {error}") from error
    if words[:1] != ["mxlab"]:
        raise UsageError(f"{line!r} is no command of mxlab's", "`mxlab COMMAND ...`")
    name = _command_of(words)
    if name not in CAN_TYPE:
        near = nearest(name, CAN_TYPE)
        hint = f"did you mean {near!r}? " if near else ""
        raise UsageError(
            f"`mxlab {name}` cannot be typed on a lab of an exercise",
            f"{hint}what can: {', '.join(CAN_TYPE)}",
        )
    for word in words:
        option = word.partition("=")[0]
        if option in _ELSEWHERE and not (option == "-f" and name != "logs"):
            raise UsageError(f"{option} cannot be typed here", _ELSEWHERE[option])
    return words[1:]


def _command_of(words: list[str]) -> str:
    """`zone add` of `mxlab zone add ...`; a group alone where no word of it follows."""
    is_group = any(name.startswith(f"{words[1]} ") for name in CAN_TYPE) if words[1:] else False
    return " ".join(words[1:3] if is_group else words[1:2])


async def _typed(words: list[str]) -> int:
    try:
        code = _command()(words, prog_name="mxlab", standalone_mode=False)
    except Handed as handed:
        return await _done(handed)
    except MISUSE as error:
        note(_said_by(error))
        return int(getattr(error, "exit_code", UsageError.exit_code))
    return code if isinstance(code, int) else EXIT_OK


async def _done(handed: Handed) -> int:
    try:
        await handed.coroutine
    except LabError as error:
        complain(error)
        return error.exit_code
    except typer.Exit as ended:
        return ended.exit_code
    return EXIT_OK


def _parse(words: list[str]) -> None:
    """Let the commands read their words, and do nothing."""
    command, rest, parent = _command(), words, None
    while True:
        context = command.make_context("mxlab", list(rest), parent=parent)
        if not hasattr(command, "resolve_command"):
            return
        left = [*context._protected_args, *context.args]
        _, command, rest = command.resolve_command(context, left)
        parent = context


def _said_by(misuse: Exception) -> str:
    return str(getattr(misuse, "format_message", lambda: misuse)())


@functools.cache
def _command() -> Any:
    return typer.main.get_command(app)
