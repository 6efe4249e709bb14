"""The lab in which a server is tried: it stands amid scripted peers, to which it sends.

It is the primary of the first domain, and a backup of all others: what it takes for one of those it
has to hand to the peers. `home.test` is where senders live, so that its reports come to a peer too.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mxlab.backends.base import CanPublish, Lab, Node
from mxlab.conform.record import PeerLog
from mxlab.conform.rule import ConformRule
from mxlab.conform.server import TestedServer
from mxlab.model.patience import Bounds, Patience
from mxlab.model.topology import Exchange, MailDomain, Topology
from mxlab_services.config import MtaConfig
from mxlab_services.control.peers import PeerRule, PeerScript
from mxlab_services.control.requests import MailboxList, MailboxRead, ZoneUpdate

SUBJECT = "mx"  # the host under test
LAST = 90  # its preference, where it is a backup
GOOD, NEXT = "good", "next"
PLAIN = ("PIPELINING", "SIZE 10000000", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "SMTPUTF8")
OFFERS: Mapping[str, tuple[str, ...]] = {
    "small": ("PIPELINING", "SIZE 1000", "8BITMIME"),
    "tls": ("PIPELINING", "STARTTLS"),
    "old": (),
}
CLOSED = ("gone",)
# domain -> its exchanges and their preferences, in which the subject stands last unless it is named
DOMAINS: Mapping[str, Mapping[str, int]] = {
    "home.test": {GOOD: 10},
    "grey.test": {"grey": 10, NEXT: 20},
    "shut.test": {"shut": 10, NEXT: 20},
    "cut.test": {"cut": 10, NEXT: 20},
    "mute.test": {"mute": 10, NEXT: 20},
    "gone.test": {"gone": 10, NEXT: 20},
    "old.test": {"old": 10},
    "small.test": {"small": 10, NEXT: 20},
    "tls.test": {"tls": 10},
    "equal.test": {"old": 10, "small": 10},  # which always give service
    "null.test": {GOOD: 10},
    "implicit.test": {GOOD: 10},
    "unusable.test": {GOOD: 10},
    "self.test": {SUBJECT: 10},
    "fail.test": {GOOD: 10},
    "worse.test": {"gone": 10, SUBJECT: 20, NEXT: 30},
}
PEERS = tuple(dict.fromkeys(h for d in DOMAINS.values() for h in d if h != SUBJECT))
SIZE = 200_000  # bytes of a message that it is told to take
IDLE = 8  # real seconds that the subject is told to wait for a silent client
LIFETIME, WARNING = 30.0, 8.0  # lab seconds: how long it keeps trying, and tells of the delay


def topology(software: str) -> Topology:
    """The lab around a host that runs that software. Raises UnknownName."""
    from mxlab.plan.software import with_software

    own = Exchange(
        SUBJECT, 10, timeouts=Patience(greeting="2s", idle=f"{IDLE}s"),
        limits=Bounds(message_size=SIZE), lifetime=LIFETIME, warning=WARNING,
    )  # fmt: skip
    shape = Topology(
        domain="example.test",
        mx=(own,),
        recipients=("bob@example.test",),
        tls=True,
        domains=tuple(_domain(name, hosts) for name, hosts in DOMAINS.items()),
    )
    return with_software(shape, {SUBJECT: software})


def _domain(name: str, hosts: Mapping[str, int]) -> MailDomain:
    places = {**hosts, SUBJECT: hosts.get(SUBJECT, LAST)}
    exchanges = (
        Exchange(host, preference, role="backup" if host == SUBJECT else None)
        for host, preference in places.items()
    )
    return MailDomain(name, tuple(exchanges))


@dataclass
class Surroundings:
    """The lab that is up. `log`: what the peers were told. `server`: the subject, to send to."""

    lab: Lab
    server: TestedServer
    log: PeerLog = field(default_factory=PeerLog)

    @property
    def subject(self) -> Node:
        return self.lab.nodes[SUBJECT]

    async def arrived(self, token: str) -> bytes | None:
        found = await self.log.until(lambda: self.log.taken(token), 20.0)
        return found[0].plain if found else None

    def there(self, token: str) -> bool:
        return bool(self.log.taken(token))


class Filed:
    """The subject's mailboxes."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def arrived(self, token: str) -> bytes | None:
        """Looks whenever the subject tells of anything."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20.0):
                if (found := await self._look(token)) is not None:
                    return found
                async with contextlib.aclosing(self._node.events()) as events:  # type: ignore[type-var]
                    async for event in events:
                        if event.body.kind == "mailbox.delivered":
                            found = await self._look(token)
                            if found is not None:
                                return found
        return await self._look(token)

    async def _look(self, token: str) -> bytes | None:
        for entry in await self._node.request(MailboxList()):
            if token in entry.subject:
                return await self._node.request(MailboxRead(entry.address, entry.name))
        return None


@asynccontextmanager
async def surrounded(
    lab: Lab, rules: Iterable[ConformRule[Surroundings]]
) -> AsyncIterator[Surroundings]:
    """Give the peers their scripts and the zones their records, and follow what happens."""
    await _zones(lab)
    await _scripts(lab, rules)
    around = Surroundings(lab, await _server(lab))
    around.server.sight = around
    async with around.log.following({name: lab.nodes[name] for name in PEERS}):
        yield around


async def place_of(node: Node) -> tuple[str, int]:
    """Where a mail server can be reached from here: as it is published, or at its own address."""
    config = node.config
    assert isinstance(config, MtaConfig)
    found = await node.published() if isinstance(node, CanPublish) else {}
    return found.get("smtp", (config.address, config.smtp_port))


async def _server(lab: Lab) -> TestedServer:
    node = lab.nodes[SUBJECT]
    config = node.config
    assert isinstance(config, MtaConfig)
    host, port = await place_of(node)
    return TestedServer(
        host, port, "bob@example.test", "nobody@example.test", "alice@home.test",
        relayed="seen@home.test", mailbox=Filed(node), address=config.address,
        idle=IDLE, trusted=False,
    )  # fmt: skip


async def _zones(lab: Lab) -> None:
    """The domains whose records are not those of a healthy lab."""
    dns = lab.nodes[lab.topology.dns_host]
    good = lab.nodes[GOOD].config.address
    kind = "AAAA" if ":" in good else "A"
    changes: Mapping[str, list[str]] = {
        "null.test": ["@ IN MX 0 ."],
        "implicit.test": [f"@ IN {kind} {good}"],
        "unusable.test": ["@ IN MX 10 nowhere.unusable.test.", f"@ IN {kind} {good}"],
    }
    for origin, added in changes.items():
        records = [f"{origin}. {line[2:]}" for line in added]
        await dns.request(ZoneUpdate(origin, records, [f"{origin}. MX"], strict=False))


async def _scripts(lab: Lab, rules: Iterable[ConformRule[Surroundings]]) -> None:
    """Each peer's script: what the rules want of it."""
    wanted: dict[str, list[PeerRule]] = {name: [] for name in PEERS}
    for rule in rules:
        for peer, reply in rule.script:
            wanted[peer].append(reply)
    for name, replies in wanted.items():
        offers = OFFERS.get(name, PLAIN)
        script = PeerScript(tuple(replies), offers, listening=name not in CLOSED)
        await lab.nodes[name].request(script)
