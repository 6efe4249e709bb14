"""stop, start, kill, pause, resume; shell and exec."""

from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.completion import machine_names
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, at_terminal, note, say, say_json
from mxlab.cli.running import attached, machine_called, work
from mxlab.errors import Unsupported, UsageError

if TYPE_CHECKING:
    pass

Nodes = Annotated[
    list[str], typer.Argument(metavar="NODE...", help="Which nodes.", autocompletion=machine_names)
]
SHELL = ("sh", "-c", "command -v bash >/dev/null && exec bash; exec sh")


def register(app: typer.Typer) -> None:
    for command in (stop, start, kill, pause, resume, shell):
        app.command()(command)
    app.command(
        "exec", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True}
    )(execute)


def stop(nodes: Nodes, lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """Stop nodes in good order."""
    work(_each("stop", nodes, lab, json))


def start(nodes: Nodes, lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """Start stopped nodes, and wait until they are ready."""
    work(_each("start", nodes, lab, json))


def kill(nodes: Nodes, lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """End nodes at once, as a power failure would."""
    work(_each("kill", nodes, lab, json))


def pause(nodes: Nodes, lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """Freeze nodes: they accept connections and never answer."""
    work(_each("pause", nodes, lab, json))


def resume(nodes: Nodes, lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """Let frozen nodes go on."""
    work(_each("resume", nodes, lab, json))


async def _each(verb: str, names: list[str], lab_name: str, json: bool) -> None:
    import asyncio

    from mxlab.operate.nodes import act

    async with attached(lab_name) as lab:
        chosen = {name: machine_called(lab, name) for name in names}
        with Waiting() as progress:
            progress(f"waiting: {verb} {' '.join(names)}")
            states = await asyncio.gather(*(act(verb, *item) for item in chosen.items()))
    shown = dict(zip(chosen, states, strict=True))
    if json:
        say_json([{"node": name, "state": state} for name, state in shown.items()])
        return
    for name, state in shown.items():
        say(f"{name} is {state}")


def shell(
    node: Annotated[str, typer.Argument(metavar="[NODE]", autocompletion=machine_names)] = "client",
    lab: LabName = DEFAULT_LAB,
) -> None:
    """Open a shell inside a node (the client): dig, swaks and nc are there."""
    _inside(node, SHELL, lab, tell=True)


def execute(
    node: Annotated[str, typer.Argument(metavar="NODE", autocompletion=machine_names)],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...")],
    lab: LabName = DEFAULT_LAB,
) -> None:
    """Run a command inside a node; its exit code is passed on."""
    words = command[1:] if command[0] == "--" else command
    if not words:
        raise UsageError("say what to run", f"`mxlab exec {node} COMMAND...`")
    _inside(node, tuple(words), lab, tell=False)


def _inside(node: str, command: tuple[str, ...], lab: str, *, tell: bool) -> None:
    import subprocess

    arguments, backend = work(_command(node, command, lab))
    if tell and backend == "process":
        note(
            "mxlab: a shell of this machine, since the lab is of local processes; names are asked "
            "of the lab. Try: dig -p $MXLAB_DNS_PORT mx example.test"
        )
    try:
        code = subprocess.run(arguments, check=False).returncode
    except FileNotFoundError as error:
        raise Unsupported(f"{arguments[0]} is not installed here", "install it") from error
    raise typer.Exit(code if code >= 0 else 128 - code)


async def _command(name: str, command: tuple[str, ...], lab_name: str) -> tuple[list[str], str]:
    from mxlab.backends.base import CanExec
    from mxlab.backends.liveness import not_running

    async with attached(lab_name) as lab:
        node = machine_called(lab, name)
        if not isinstance(node, CanExec):
            raise Unsupported("nodes of this lab have no inside")
        state = await node.state()
        if state != "running":
            raise not_running(name, state)
        return node.exec_command(command, interactive=at_terminal()), lab.backend
