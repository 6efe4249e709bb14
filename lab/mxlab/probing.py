"""Tries every fault of the catalogue in a world: done and seen, undone and seen to be gone.

The labs in which that happens are of its own, and are removed again.
"""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mxlab.backends.base import Backend, Lab, Order, Progress
from mxlab.errors import LabError
from mxlab.faults import CATALOGUE, FaultKind, able, inject, undo
from mxlab.faults.table import sample
from mxlab.model.topology import Topology

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
    try:
        async with asyncio.timeout(seconds):
            await inject(lab, "probe", mechanism)
            await undo(lab, "probe", mechanism)
    except TimeoutError:
        return f"nothing came of it within {seconds:g} s"
    except LabError as error:
        return str(error)
    return ""
