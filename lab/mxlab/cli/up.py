"""up."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mxlab.backends.registry import QUICK_FIRST, backend_named, known
from mxlab.cli.mailprogram import settings
from mxlab.cli.options import (
    DEFAULT_LAB,
    AsJson,
    BackendName,
    LabName,
    Seed,
    TimeScale,
    WithSoftware,
)
from mxlab.cli.output import Waiting, note, say, say_json
from mxlab.cli.running import (
    choose_backend,
    work,
)
from mxlab.cli.status import described, show
from mxlab.cli.submission import submission_lines
from mxlab.errors import EXIT_FAILED, AlreadyUp, UsageError

if TYPE_CHECKING:
    from socket import socket

    from mxlab.backends.base import Lab
    from mxlab.board.serve import Served
    from mxlab.model.finding import Finding
    from mxlab.model.scenario import Scenario
    from mxlab.model.topology import Topology

MOST_EXCHANGES = 16


def register(app: typer.Typer) -> None:
    app.command()(up)


def up(
    lab: LabName = DEFAULT_LAB,
    backend: BackendName = "auto",
    mx: Annotated[
        int | None, typer.Option("--mx", metavar="N", help="How many mail exchangers (2).")
    ] = None,
    topology: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A YAML file with the lab's shape, or a scenario's."),
    ] = None,
    domain: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="The mail domain (example.test).")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="NAME", help="Retry schedule: workshop, postfix, rfc ...")
    ] = None,
    time_scale: TimeScale = None,
    seed: Seed = 0,
    publish: Annotated[
        bool, typer.Option("--publish", help="Open SMTP and DNS on 127.0.0.1.")
    ] = False,
    imap: Annotated[
        bool, typer.Option("--imap", help="Dovecot beside each primary: IMAP, POP3 (docker only).")
    ] = False,
    software: WithSoftware = None,
    scenario: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Play this story in it, and leave the lab as it is then."),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option("--until", metavar="STEP", min=0, help="Of the story, so many steps (all)."),
    ] = None,
    board: Annotated[
        bool, typer.Option("--board", help="Then serve the lab's page, as `mxlab board` does.")
    ] = False,
    board_port: Annotated[
        int | None,
        typer.Option(
            "--board-port", metavar="PORT", min=0, max=65535, help="Where (8025; 0: any)."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Bring a lab up: a DNS server, mail exchangers and a sending client.

    With --imap --publish a mail program can read the mailboxes: it says what to type into it.
    With --scenario the lab is that story's, and begins in the midst of it: nothing is healed.
    With --board the page is served until Ctrl-C, which ends the page alone: the lab stays up, until
    `mxlab down`.

    For example: mxlab up; mxlab up --mx 3 --board
    """
    page = _board_at(board, board_port)
    story, scale = None, 1.0
    if scenario is not None:
        if (topology, mx, domain, schedule) != (None, None, None, None):
            raise UsageError("--scenario has a lab of its own", "leave the lab's shape out")
        story = _beginning(scenario, until)
        topology, scale = story.file, story.scenario.time_scale
    elif until is not None:
        raise UsageError("--until is of a story", "name it: --scenario ID")
    shape = make_topology(topology, mx, domain, schedule, imap=imap, software=software or ())
    if story is not None:
        story = story.in_lab(shape)
    time = make_time(scale if time_scale is None else time_scale)
    work(_up(lab, backend, shape, time, seed, publish, json, story, page))


def _board_at(wanted: bool, port: int | None) -> "socket | None":
    """What the page will be served at: had before the lab is brought up, so that nothing is left
    up where it cannot be. Raises UsageError, EnvironmentProblem."""
    if not wanted:
        if port is not None:
            raise UsageError("--board-port is of --board", "give both")
        return None
    from mxlab.board.serve import listen
    from mxlab.cli.board import LOOPBACK, PORT

    return listen(LOOPBACK, PORT if port is None else port, "--board-port")


class _Beginning(NamedTuple):
    """So many steps of a story."""

    file: Path
    scenario: "Scenario"
    until: int

    def in_lab(self, shape: "Topology") -> "_Beginning":
        """The same in a lab of that shape: the story's, with what the options say beside it."""
        from msgspec.structs import replace

        return self._replace(scenario=replace(self.scenario, topology=shape))


def _beginning(name: str, until: int | None) -> _Beginning:
    from mxlab.cli.stories import story_file
    from mxlab.scenario.load import load_file

    file = story_file(name, None)
    story = load_file(file)
    steps = len(story.steps)
    if until is not None and until > steps:
        raise UsageError(f"--until {until}: {name} has {steps} steps", "see `mxlab run --dry-run`")
    return _Beginning(file, story, steps if until is None else until)


def make_topology(
    file: Path | None,
    mx: int | None,
    domain: str | None,
    schedule: str | None,
    *,
    imap: bool = False,
    software: Sequence[str] = (),
) -> "Topology":
    """The topology that the options describe. Raises UsageError."""
    import msgspec

    from mxlab.model.topology import Exchange, Topology
    from mxlab.plan.checked import checked_topology
    from mxlab.plan.software import parse_software, with_software

    if file is not None:
        from mxlab.scenario.load import load_topology

        if mx is not None:
            raise UsageError("--mx and --topology both say what exchanges there are", "give one")
        shape = load_topology(file)
    else:
        shape = Topology()
    if mx is not None:
        if not 1 <= mx <= MOST_EXCHANGES:
            raise UsageError(f"--mx: 1 to {MOST_EXCHANGES} exchanges, not {mx}")
        exchanges = tuple(Exchange(f"mx{n}", 10 * n) for n in range(1, mx + 1))
        shape = msgspec.structs.replace(shape, mx=exchanges)
    if domain is not None:
        shape = msgspec.structs.replace(shape, domain=domain)
    if schedule is not None:
        shape = msgspec.structs.replace(shape, schedule=schedule)
    if imap:
        shape = msgspec.structs.replace(shape, imap=True)
    check_schedule(shape.schedule)
    return checked_topology(with_software(shape, parse_software(software)))


def check_schedule(name: str) -> None:
    """Raise UnknownName for a retry schedule that does not exist."""
    from mxlab.errors import UnknownName
    from mxlab_services.queue.retry import SCHEDULES

    if name not in SCHEDULES:
        raise UnknownName("retry schedule", name, SCHEDULES)


def make_time(scale: float) -> Any:
    """Lab time from now on at that speed. Raises UsageError."""
    import time

    from mxlab.model.scenario import FASTEST, SLOWEST
    from mxlab_services.config import TimeConfig

    if not SLOWEST <= scale <= FASTEST:
        raise UsageError(
            f"--time-scale must be above 0, {SLOWEST:g} to {FASTEST:.0f}, not {scale:g}"
        )
    return TimeConfig(scale, time.time())  # noqa: TID251 - when this lab's time begins


async def _up(
    name: str,
    backend_name: str,
    topology: "Topology",
    time: Any,
    seed: int,
    publish: bool,
    json: bool,
    story: _Beginning | None,
    page: "socket | None",
) -> None:
    import secrets

    from mxlab.backends.base import Order

    with Waiting() as progress:
        backend = await choose_backend(backend_name, progress)
        if story is not None:
            from mxlab.scenario.refusal import refuse

            refuse(story.scenario, backend)
        for other in QUICK_FIRST[: QUICK_FIRST.index(backend.name)]:
            if any(found.lab == name for found in await backend_named(other).find()):
                raise AlreadyUp(
                    f"a lab called {name!r} is up as {known(other).meaning}",
                    f"`mxlab down --lab {name}` removes it; or use another name with --lab",
                )
        order = Order(name, secrets.token_hex(4), topology, time, seed, publish)
        async with backend.deploy(order, progress, keep=True) as lab:
            failed = None if story is None else await _play(lab, story)
            shown = await described(lab)
    if json and page is None:
        say_json(shown)
        return
    if not json:
        say(f"The lab {name!r} is up ({backend.name}).")
        _tell_up(name, topology, shown, story)
    if failed is not None:
        note(f"mxlab: {failed.check} failed: {failed.text}")
    if page is not None:
        await _with_page(name, backend.name, page, shown if json else None)
    if failed is not None:
        raise typer.Exit(EXIT_FAILED)


def _tell_up(
    name: str, topology: "Topology", shown: dict[str, Any], story: _Beginning | None
) -> None:
    show(shown)
    for line in (*settings(shown), *submission_lines(shown)):
        say(line)
    other = "" if name == DEFAULT_LAB else f" --lab {name}"
    if story is None:
        next_ = f"mxlab send --to bob@{topology.domain} --show-dialog{other}"
        say(f"Next: {next_}   (mxlab down{other})")
    else:
        say(f"Next: mxlab queue{other}; mxlab fault list{other}   (mxlab down{other})")


async def _with_page(
    name: str, backend: str, listener: "socket", shown: dict[str, Any] | None
) -> None:
    """Serve the page until Ctrl-C; `shown`: the lab, for programs, to be said with where it is."""
    from mxlab.cli.board import serve, tell_where, where_served

    def tell(served: "Served") -> None:
        if shown is not None:
            say_json({**shown, "board": where_served(served)})
            return
        say("The page is served until Ctrl-C; the lab stays up after that.")
        tell_where(served, "break the lab")

    await serve(name, listener, backend, tell)


async def _play(lab: "Lab", story: _Beginning) -> "Finding | None":
    from mxlab.cli.live import tell
    from mxlab.runner.beginning import play_beginning

    return await play_beginning(lab, story.scenario, story.until, tell)
