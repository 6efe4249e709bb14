"""Each rule of a server that sends: kept by a model that keeps them all, and not by one that is
like it but for that rule."""

from typing import Any

import pytest

from mxlab.conform import routes
from mxlab.conform.rules import SENDING
from mxlab.conform.trying import RuleResult, try_rules
from tests.support.rogue_sender import RogueSender
from tests.support.rogue_server import serving

# What the standard permits is told as a difference.
DIFFERS = {"b1-one-copy", "b7-size-told", "b7-starttls-refused", "b7-too-large", "a7-loop"}
DIFFERS |= {"e3-envelope"}


@pytest.fixture(autouse=True)
def failing_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault of a1-servfail strikes the model."""

    async def inject(lab: Any, name: str, fault: Any) -> None:
        lab.nodes["mx"].failing = True

    async def undo(lab: Any, name: str, fault: Any) -> None:
        lab.nodes["mx"].failing = False
        lab.nodes["mx"].run()

    monkeypatch.setattr(routes, "inject", inject)
    monkeypatch.setattr(routes, "undo", undo)


async def tried(sender: RogueSender, *names: str) -> dict[str, RuleResult]:
    chosen = [SENDING[name] for name in names or SENDING]
    sender.follow(chosen)
    async with serving(sender.server()) as server:
        found = await try_rules(chosen, sender.around(server), lambda _: None, jobs=1)
    return {one.id: one for one in found}


async def test_a_sender_that_keeps_them_all_is_told_so() -> None:
    found = await tried(RogueSender())
    assert {one.id: one for one in found.values() if one.result != "kept"} == {}


@pytest.mark.parametrize("name", sorted(SENDING))
async def test_a_rule_that_is_not_kept_is_told(name: str) -> None:
    found = await tried(RogueSender(breaks=name), name)
    wanted = "differs" if name in DIFFERS else "broken"
    assert (found[name].result, name) == (wanted, name), found[name]
    assert found[name].found
