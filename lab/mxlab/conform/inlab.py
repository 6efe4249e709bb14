"""Brings up a lab around one software and tries all rules in it, from both sides at once."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from mxlab.backends.base import Backend, Lab, Order, Progress
from mxlab.conform.place import PEERS, SUBJECT, Surroundings, place_of, surrounded, topology
from mxlab.conform.rule import ConformRule, Obstacle
from mxlab.conform.server import TestedServer
from mxlab.conform.talk import connected
from mxlab.conform.trying import RuleResult, ServerResults, try_rules
from mxlab.model.software import OURS, SOFTWARE
from mxlab_services.control.requests import Ping

SECONDS = 3.0  # real seconds in which a server of the lab takes a connection
SENDING_JOBS = 12  # rules at a time: most of them wait for a retry


async def try_software(
    software: str,
    backend: Backend,
    taking: Sequence[ConformRule[TestedServer]],
    sending: Sequence[ConformRule[Surroundings]],
    progress: Progress,
    own_version: str = "",
) -> ServerResults:
    """Try the rules of both sides; `own_version` is that of mxlab's own server.

    Raises UnknownName for a software that there is not, Unsupported where the backend has it not,
    and whatever a deployment may.
    """
    began = time.monotonic()
    async with _deployed(software, backend, progress) as lab, surrounded(lab, sending) as around:
        version = await _version(around, software, own_version)
        taken, sent = await asyncio.gather(
            try_rules(taking, around.server, progress),
            try_rules(sending, around, progress, jobs=SENDING_JOBS),
        )
    seconds = round(time.monotonic() - began, 1)
    results: list[RuleResult] = [*taken, *sent]
    title = next((entry.title for key, entry in SOFTWARE.items() if key == software), software)
    return ServerResults(title, version, seconds, results)


@asynccontextmanager
async def _deployed(software: str, backend: Backend, progress: Progress) -> AsyncIterator[Lab]:
    """A lab whose subject can be reached from here. It is published where that is the only way: a
    server has one address more then, of which it may know nothing."""
    name = f"conform-{secrets.token_hex(4)}"
    order = Order(name, name, topology(software), peers=frozenset(PEERS))
    async with backend.deploy(order, progress) as lab:
        if await _reached(lab):
            yield lab
            return
    async with backend.deploy(replace(order, publish=True), progress) as lab:
        yield lab


async def _reached(lab: Lab) -> bool:
    try:
        async with connected(*await place_of(lab.nodes[SUBJECT]), SECONDS):
            return True
    except Obstacle:
        return False


async def _version(around: Surroundings, software: str, own: str) -> str:
    """Its version, as the node tells it."""
    if software == OURS:
        return own
    told = (await around.subject.request(Ping())).software
    return told.rpartition(" ")[2]
