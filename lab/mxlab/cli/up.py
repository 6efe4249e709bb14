"""up, down, status."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxlab.cli.completion import lab_names
from mxlab.cli.options import DEFAULT_LAB, AsJson, BackendName, LabName, Seed, TimeScale, a_lab
from mxlab.cli.output import Waiting, complain, note, say, say_json, table, width
from mxlab.cli.picture import picture
from mxlab.cli.running import (
    attached,
    backend_named,
    choose_backend,
    find_labs,
    node_called,
    work,
)
from mxlab.errors import AlreadyUp, LabError, NoEngine, UsageError

if TYPE_CHECKING:
    from mxlab.backends.base import Lab, Node
    from mxlab.model.topology import Topology

MOST_EXCHANGES = 16


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(status)


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
    time_scale: TimeScale = 1.0,
    seed: Seed = 0,
    publish: Annotated[
        bool, typer.Option("--publish", help="Open SMTP and DNS on 127.0.0.1.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Bring a lab up: a DNS server, mail exchangers and a sending client."""
    shape = make_topology(topology, mx, domain, schedule)
    work(_up(lab, backend, shape, make_time(time_scale), seed, publish, json))


def make_topology(
    file: Path | None, mx: int | None, domain: str | None, schedule: str | None
) -> "Topology":
    """The topology that the options describe. Raises UsageError."""
    import msgspec

    from mxlab.model.topology import Exchange, Topology
    from mxlab.plan.plan import checked_topology

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
    check_schedule(shape.schedule)
    return checked_topology(shape)


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
) -> None:
    import secrets

    from mxlab.backends.base import Order

    with Waiting() as progress:
        backend, reason = await choose_backend(backend_name, progress)
        if reason:
            note(f"mxlab: local processes, because {reason}")
        if backend.name != "process" and any(
            found.lab == name for found in await backend_named("process").find()
        ):
            raise AlreadyUp(
                f"a lab called {name!r} is up as local processes",
                f"`mxlab down --lab {name}` removes it; or use another name with --lab",
            )
        order = Order(name, secrets.token_hex(4), topology, time, seed, publish)
        async with backend.deploy(order, progress, keep=True) as lab:
            shown = await _describe(lab)
    if json:
        say_json(shown)
        return
    say(f"The lab {name!r} is up ({backend.name}).")
    _show(shown)
    other = "" if name == DEFAULT_LAB else f" --lab {name}"
    say(f"Next: mxlab send --to bob@{topology.domain} --show-dialog{other}   (mxlab down{other})")


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
        for backend in (backend_named("process"), backend_named("docker")):
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


def status(
    lab: Annotated[
        str | None,
        typer.Option(
            "--lab",
            envvar="MXLAB_LAB",
            metavar="NAME",
            help="Which lab.",
            callback=a_lab,
            autocompletion=lab_names,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Show the labs of this machine, and how their nodes are."""
    work(_status(lab, json))


async def _status(name: str | None, json: bool) -> None:
    if name is not None:
        async with attached(name) as lab:
            shown = [await _describe(lab)]
    else:
        labs, unseen = await find_labs()
        if unseen and not json:
            note(f"mxlab: only local processes are shown: {unseen}")
        shown = [await _describe_found(found) for found in labs]
    if json:
        say_json(shown)
        return
    if not shown:
        say("No lab is up.")
    for number, one in enumerate(shown):
        if number:
            say()
        say(f"lab {one['lab']} ({one['backend']}, run {one['run'] or 'unknown'})")
        _show(one)
        if "domain" in one:  # all of it could be seen
            say()
            for line in picture(one["domain"], one["nodes"], width(sys.stdout)):
                say(line)


async def _describe_found(found: Any) -> dict[str, Any]:
    try:
        async with backend_named(found.backend).attach(found.lab) as lab:
            return await _describe(lab)
    except LabError as error:
        complain(error)
        nodes = [{"node": node, "state": state} for node, state in found.nodes.items()]
        return {"lab": found.lab, "backend": found.backend, "run": found.run, "nodes": nodes}


async def _describe(lab: "Lab") -> dict[str, Any]:
    import asyncio

    nodes = await asyncio.gather(
        *(_describe_node(lab, node_called(lab, name)) for name in lab.nodes)
    )
    return {
        "lab": lab.name,
        "backend": lab.backend,
        "run": lab.run,
        "domain": lab.topology.domain,
        "lab_time": lab.clock.time(),
        "nodes": nodes,
    }


async def _describe_node(lab: "Lab", node: "Node") -> dict[str, Any]:
    from mxlab.backends.base import CanPublish
    from mxlab_services.control.requests import Ping

    config = node.config
    shown: dict[str, Any] = {
        "node": config.node,
        "role": _role(lab, config.node),
        "address": config.address,
        "state": await node.state(),
        "queued": None,
    }
    if shown["state"] == "running":
        try:
            pong = await node.request(Ping())
            shown["queued"] = None if pong.role == "dns" else pong.queued
        except LabError as error:
            shown["problem"] = str(error)
    if isinstance(node, CanPublish):
        shown["published"] = {
            service: f"{address}:{port}"
            for service, (address, port) in (await node.published()).items()
        }
    return shown


def _role(lab: "Lab", node: str) -> str:
    topology = lab.topology
    if node == topology.dns:
        return "dns"
    if node == topology.client:
        return "client"
    preference = next((e.preference for e in topology.mx if e.host == node), 0)
    return f"{'primary' if node in topology.primaries else 'backup'} MX {preference}"


def _show(lab: dict[str, Any]) -> None:
    rows = [
        (
            node["node"],
            node.get("role", ""),
            node.get("address", ""),
            node["state"],
            "-" if node.get("queued") is None else node["queued"],
            node.get("problem") or "  ".join((node.get("published") or {}).values()),
        )
        for node in lab["nodes"]
    ]
    table(("NODE", "ROLE", "ADDRESS", "STATE", "QUEUED", "OPEN HERE AT"), rows)
