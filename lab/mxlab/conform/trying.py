"""Tries rules side by side, each within its time. Guarantee: it ends, whatever the server does."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from mxlab.backends.base import Progress
from mxlab.conform.rule import ConformRule, Judgement, Kind, Obstacle, Side, unseen
from mxlab.conform.server import TestedServer
from mxlab.conform.talk import connected
from mxlab.errors import EnvironmentProblem

C = TypeVar("C")
JOBS = 4  # rules at a time: sessions that any server grants to one client
LONGEST = 240.0  # real seconds for all rules of one side


class RuleResult(msgspec.Struct, frozen=True):
    """What came of one rule with one server."""

    id: str
    source: str
    tried: str
    side: Side
    result: Kind
    found: str = ""


class ServerResults(msgspec.Struct, frozen=True):
    """What came of all rules that were tried with one server; `seconds`: real time."""

    name: str
    version: str
    seconds: float
    rules: list[RuleResult]


async def try_rules(
    rules: Iterable[ConformRule[C]],
    subject: C,
    progress: Progress,
    *,
    jobs: int = JOBS,
    longest: float = LONGEST,
) -> list[RuleResult]:
    """Try each of the rules with `subject`; in their order, whatever came of which first."""
    chosen = list(rules)
    deadline = time.monotonic() + longest
    places = asyncio.Semaphore(jobs)
    found: dict[str, Judgement] = {}

    async def one(rule: ConformRule[C]) -> None:
        async with places:
            found[rule.id] = await _tried(rule, subject, deadline - time.monotonic())
            progress(f"{len(found)} of {len(chosen)} rules tried, last {rule.id}")

    async with asyncio.TaskGroup() as group:
        for rule in chosen:
            if not rule.alone:
                group.create_task(one(rule))
    for rule in chosen:
        if rule.alone:
            await one(rule)
    return [_result(rule, found[rule.id]) for rule in chosen]


async def _tried(rule: ConformRule[C], subject: C, left: float) -> Judgement:
    seconds = min(rule.seconds, left)
    if seconds <= 0:
        return unseen("the time for all rules was up before")
    try:
        async with asyncio.timeout(seconds):
            return await rule.check(subject)
    except TimeoutError:
        return unseen(f"it was not done within {seconds:.0f} s")
    except Obstacle as obstacle:
        return unseen(str(obstacle))


def _result(rule: ConformRule[C], judgement: Judgement) -> RuleResult:
    return RuleResult(rule.id, rule.source, rule.tried, rule.side, judgement.kind, judgement.found)


async def try_server(
    rules: Sequence[ConformRule[TestedServer]], server: TestedServer, progress: Progress
) -> tuple[str, list[RuleResult]]:
    """Its greeting, and what came of the rules. A server that does not greet is tried no further.

    Raises EnvironmentProblem where nothing takes connections.
    """
    try:
        async with connected(server.host, server.port, server.seconds) as talk:
            greeting = await talk.read()
    except Obstacle as obstacle:
        raise EnvironmentProblem(str(obstacle), "start the server, or see its port") from obstacle
    if greeting.code == 220:
        return " ".join(greeting.lines), await try_rules(rules, server, progress)
    why = unseen(f"there is no session: the greeting is: {greeting}")
    greets = [rule for rule in rules if rule.id == "s-greeting"]
    tried = {one.id: one for one in await try_rules(greets, server, progress)}
    return str(greeting), [tried.get(rule.id) or _result(rule, why) for rule in rules]
