"""A router over a table of records, and what its decisions say."""

import random
from collections.abc import Mapping, Sequence

from mxlab_services import events
from mxlab_services.dns.answers import Answer, Mx, Status
from mxlab_services.queue.ports import Route
from mxlab_services.relay.routing import MxRouter

D = "example.test"
SELF = "mx2.example.test"
SELF_ADDRESS = "10.0.0.3"


class Table:
    """A resolver that answers from a table: MX lists, address lists, aliases and failures."""

    def __init__(
        self,
        mx: Mapping[str, list[tuple[int, str]] | Status] | None = None,
        addresses: Mapping[str, list[str] | Status] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._mx = mx or {}
        self._addresses = addresses or {}
        self._aliases = aliases or {}
        self.asked: list[tuple[str, str]] = []

    async def mx(self, name: str, message: str | None = None) -> Answer:
        self.asked.append((name, "MX"))
        canonical = self._aliases.get(name, name)
        match self._mx.get(canonical, "nodata"):
            case str() as status:
                return Answer(name, "MX", status, canonical)
            case records:
                return Answer(name, "MX", "ok", canonical, mx=tuple(Mx(*r) for r in records))

    async def addresses(self, name: str, message: str | None = None) -> Answer:
        self.asked.append((name, "A"))
        canonical = self._aliases.get(name, name)
        match self._addresses.get(canonical, "nxdomain"):
            case str() as status:
                return Answer(name, "A", status, canonical)
            case found:
                return Answer(name, "A", "ok", canonical, addresses=tuple(found))


HOSTS: dict[str, list[str] | Status] = {
    "mx1.example.test": ["10.0.0.2"],
    SELF: [SELF_ADDRESS],
    "mx3.example.test": ["10.0.0.4"],
    "mx4.example.test": ["10.0.0.5"],
}


class Seen:
    def __init__(self) -> None:
        self.events: list[tuple[events.Body, str | None]] = []

    def __call__(self, body: events.Body, message: str | None = None) -> None:
        self.events.append((body, message))


def router(
    table: Table,
    *,
    seed: int = 0,
    networks: Sequence[str] = ("10.0.0.0/24",),
    own: Sequence[str] = (SELF_ADDRESS,),
    seen: Seen | None = None,
) -> MxRouter:
    return MxRouter(
        table,
        names=[SELF],
        addresses=own,
        networks=networks,
        rng=random.Random(seed),
        emit=seen or Seen(),
    )


def zone(*mx: tuple[int, str], **hosts: list[str] | Status) -> Table:
    """A zone for D with these MX records; `hosts` adds or replaces addresses of NAME.D."""
    return Table({D: list(mx)}, HOSTS | {f"{name}.{D}": value for name, value in hosts.items()})


def hosts(route: Route) -> list[str]:
    return [target.host for target in route.targets]


def reply(route: Route) -> str:
    assert route.failure is not None
    assert route.targets == ()
    return str(route.failure.reply)


def said(route: Route, words: str) -> str:
    """The section of the decision that says `words`."""
    found = [decision.section for decision in route.decisions if words in decision.text]
    assert found, f"{words!r} in none of {[d.text for d in route.decisions]}"
    return found[0]
