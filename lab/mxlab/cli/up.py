"""up, down."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mxlab.backends.registry import QUICK_FIRST, backend_named, known
from mxlab.cli.completion import lab_names
from mxlab.cli.mailprogram import settings
from mxlab.cli.options import (
    DEFAULT_LAB,
    AsJson,
    BackendName,
    LabName,
    Seed,
    TimeScale,
    WithSoftware,
    a_lab,
)
from mxlab.cli.output import Waiting, note, say, say_json
from mxlab.cli.running import (
    choose_backend,
    work,
)
from mxlab.cli.status import described, show
from mxlab.cli.submission import submission_lines
from mxlab.errors import EXIT_FAILED, AlreadyUp, LabError, NoEngine, UsageError

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab.model.finding import Finding
    from mxlab.model.scenario import Scenario
    from mxlab.model.topology import Topology

MOST_EXCHANGES = 16


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)


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
    json: AsJson = False,
) -> None:
    """Bring a lab up: a DNS server, mail exchangers and a sending client.

    With --imap --publish a mail program can read the mailboxes: it says what to type into it.
    With --scenario the lab is that story's, and begins in the midst of it: nothing is healed.
    """
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
    work(_up(lab, backend, shape, time, seed, publish, json, story))


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
    if json:
        say_json(shown)
        return
    say(f"The lab {name!r} is up ({backend.name}).")
    show(shown)
    for line in (*settings(shown), *submission_lines(shown)):
        say(line)
    other = "" if name == DEFAULT_LAB else f" --lab {name}"
    if story is None:
        next_ = f"mxlab send --to bob@{topology.domain} --show-dialog{other}"
        say(f"Next: {next_}   (mxlab down{other})")
    else:
        say(f"Next: mxlab queue{other}; mxlab fault list{other}   (mxlab down{other})")
    if failed is not None:
        note(f"mxlab: {failed.check} failed: {failed.text}")
        raise typer.Exit(EXIT_FAILED)


async def _play(lab: "Lab", story: _Beginning) -> "Finding | None":
    from mxlab.cli.live import tell
    from mxlab.runner.beginning import play_beginning

    return await play_beginning(lab, story.scenario, story.until, tell)


def down(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[LAB]", help="Which lab.", callback=a_lab, autocompletion=lab_names
        ),
    ] = None,
    lab: LabName = DEFAULT_LAB,
    every: Annotated[bool, typer.Option("--all", help="Every lab of this machine.")] = False,
    json: AsJson = False,
) -> None:
    """Remove a lab, or what is left of one; says what it removed."""
    source = context.get_parameter_source("lab")
    named = source is not None and source.name == "COMMANDLINE"
    if every and (named or name is not None):
        raise UsageError("--all removes every lab; a name, one", "give one of them")
    if named and name is not None and name != lab:
        raise UsageError(f"two names of one lab: {name!r} and {lab!r}", "give one of them")
    work(_down(None if every else lab if name is None else name, json))


async def _down(name: str | None, json: bool) -> None:
    """Remove the lab of that name; every lab where it is None."""
    removed: list[dict[str, str]] = []
    unseen: LabError | None = None
    with Waiting() as progress:
        for backend in map(backend_named, QUICK_FIRST):
            try:
                found = await backend.find() if name is None else []
                names = sorted({one.lab for one in found}) if name is None else [name]
                for lab in names:
                    progress(f"removing the lab {lab!r}")
                    gone = await backend.remove(lab)
                    removed += [{"lab": lab, "kind": k, "name": n} for k, n in gone.items]
            except NoEngine as error:
                unseen = error
    whole = f"of the lab {name!r}" if name is not None else "of any lab"
    if json:
        say_json({"removed": removed, "unseen": str(unseen) if unseen else None})
    else:
        for item in removed:
            say(f"removed {item['kind']} {item['name']}")
        place = "" if unseen is None else " here"
        said = "Nothing" if removed else "Nothing was there, and nothing"
        say(f"{said} {whole} is left{place}.")
    if unseen is not None and not json:
        note(f"mxlab: Docker was not asked: {unseen}")
