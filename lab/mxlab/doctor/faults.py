"""Tries every fault of the catalogue in a world: done, felt by what nodes do, and undone.

The labs in which that happens are of its own, and are removed again.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from mxlab.backends.base import Backend, Lab, Order, Progress
from mxlab.errors import LabError, NodeUnreachable, first_of_group
from mxlab.faults import CATALOGUE, FaultKind, able, inject, undo
from mxlab.faults.table import sample
from mxlab.model.mechanism import Drop, Partition, Reject, SlowLink
from mxlab.model.topology import Topology
from mxlab.runner.etrn import ask_to_send
from mxlab_services.control.replies import EtrnReport
from mxlab_services.control.requests import Dig, QueueFlush, Submit
from mxlab_services.events import FaultStruck
from mxlab_services.faults.base import Mechanism, NodeFault
from mxlab_services.faults.kinds import DnsFault, Refuse
from mxlab_services.smtp.client.connect import IDLE

SENDER = "alice@client.test"
SIZE = 4000  # bytes: more than a cut connection lets through
SECONDS = 30.0  # real seconds for one fault, there and back

Result = Literal["works", "unsupported", "failed"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of one fault in one world; `found` says what was wrong."""

    fault: str
    world: str
    result: Result
    found: str = ""


async def probe_faults(
    backend: Backend, progress: Progress, seconds: float = SECONDS
) -> list[Probe]:
    """Every fault, in the catalogue's order. Raises whatever a deployment may; a fault that cannot
    be done or undone is told, and the next one gets a new lab."""
    left = iter(CATALOGUE.values())
    found: list[Probe] = []
    while len(found) < len(CATALOGUE):
        name = f"doctor-{secrets.token_hex(4)}"
        async with backend.deploy(Order(name, name, Topology(tls=True)), progress) as lab:
            found += await _until_one_fails(backend, lab, left, progress, seconds)
    return found


async def _until_one_fails(
    backend: Backend, lab: Lab, left: Iterator[FaultKind], progress: Progress, seconds: float
) -> list[Probe]:
    found: list[Probe] = []
    for kind in left:
        if not able(kind, backend):
            found.append(Probe(kind.name, backend.name, "unsupported"))
            continue
        progress(f"trying {kind.name} ({backend.name})")
        problem = await _there_and_back(lab, kind, seconds)
        found.append(Probe(kind.name, backend.name, "failed" if problem else "works", problem))
        if problem:
            break
    return found


async def _there_and_back(lab: Lab, kind: FaultKind, seconds: float) -> str:
    """What was wrong, or nothing."""
    mechanism = sample(kind.mechanism)
    name = f"probe-{kind.name}"
    doing = "done"
    try:
        async with asyncio.timeout(seconds):
            await inject(lab, name, mechanism)
            doing = "felt"
            await _felt(lab, name, mechanism)
            doing = "undone"
            await undo(lab, name, mechanism)
    except TimeoutError:
        return f"it was not {doing} within {seconds:g} s"
    except LabError as error:
        return str(error)
    return ""


async def _felt(lab: Lab, name: str, mechanism: Mechanism) -> None:
    """Return once the fault has an effect on what nodes do. What befalls a whole node was seen
    already; a loss and a cut line are left to chance and to their time."""
    match mechanism:
        case DnsFault(name=asked):
            await _strikes(lab, name, mechanism, _questions(lab, asked))
        case Refuse() | Drop() | Partition() | Reject():
            if (await _asked(lab, mechanism.host)).code:
                raise NodeUnreachable(f"{mechanism.kind} {mechanism.host}: it answers all the same")
        case SlowLink(seconds=seconds):
            began = lab.clock.time()
            answer = await _asked(lab, mechanism.host)
            if answer.code and lab.clock.time() - began < seconds:
                raise NodeUnreachable(f"{mechanism.kind} {mechanism.host}: it answers at once")
        case NodeFault():
            await _strikes(lab, name, mechanism, _mail(lab))
        case _:
            pass


async def _strikes(
    lab: Lab, name: str, mechanism: Mechanism, traffic: Coroutine[None, None, None]
) -> None:
    """Wait until the node says that the fault struck, while there is traffic."""

    async def told() -> None:
        async with aclosing(lab.nodes[mechanism.host].events()) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event.body, FaultStruck) and event.body.fault == name:
                    return

    with first_of_group(LabError):
        async with asyncio.TaskGroup() as group:
            meanwhile = group.create_task(traffic)
            await told()
            meanwhile.cancel()


async def _mail(lab: Lab) -> None:
    """Messages of some size, each sent past what the client remembers of silent hosts. The first
    may take an idle connection, of the fault before, which has its STARTTLS behind it."""
    client = lab.nodes[lab.topology.client]
    while True:
        await client.request(Submit(SENDER, [f"bob@{lab.topology.domain}"], size=SIZE))
        await client.request(QueueFlush())
        await lab.clock.sleep(IDLE + 1)


async def _questions(lab: Lab, name: str) -> None:
    for kind in ("MX", "A"):
        await lab.nodes[lab.topology.client].request(Dig(name, kind))


async def _asked(lab: Lab, host: str) -> EtrnReport:
    """What `host` answers to the backup that speaks to it by SMTP."""
    (backup, *_) = lab.topology.backups
    return await ask_to_send(lab, backup, host)
