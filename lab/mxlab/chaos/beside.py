"""What a lab that chaos makes up has beside the exchanges of one domain: a second domain, aliases,
relays, a second client, hosts that keep trying in a way of their own. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from mxlab.model.topology import (
    Aliases,
    Client,
    Exchange,
    MailDomain,
    RelayHost,
    RetryHabit,
    Topology,
)

BOB, CAROL = "bob@example.test", "carol@example.test"
EVE, SALES = "eve@other.test", "sales@other.test"
TEAM = "team@example.test"
OTHER, SECOND = "other.test", "second.test"


@dataclass(frozen=True, slots=True)
class Beside:
    """`other`: a second domain, whose exchanges are the first one's with their preferences turned
    round, or one of its own with the first one's best as its backup. `relays`: all mail of the
    client goes through so many, one after the other. `clients`: whether there is a second client.
    `habits`: how long hosts keep trying, by name."""

    other: Literal["turned", "own"] | None = None
    aliases: bool = False
    relays: int = 0
    clients: bool = False
    habits: Mapping[str, RetryHabit] = field(default_factory=dict)

    def lab(self, topology: Topology) -> Topology:
        """The topology with all of that."""
        if self == PLAIN:
            return topology
        return replace(
            topology,
            mx=tuple(self._habitual(exchange) for exchange in topology.mx),
            domains=self._domains(topology),
            aliases=self._aliases(),
            relays=self._relays(topology),
            smarthost="relay1" if self.relays else None,
            clients=(Client("client2", SECOND),) if self.clients else (),
            client_retry=self.habits.get(topology.client),
        )

    def _habitual(self, exchange: Exchange) -> Exchange:
        habit = self.habits.get(exchange.host)
        if habit is None:
            return exchange
        return replace(exchange, **{n: getattr(habit, n) for n in RetryHabit.__struct_fields__})

    def _domains(self, topology: Topology) -> tuple[MailDomain, ...]:
        if self.other is None:
            return ()
        mx = topology.mx
        there: tuple[Exchange, ...] = (Exchange("other1", 10), Exchange(mx[0].host, 20))
        if self.other == "turned":
            turned = zip(mx, reversed(mx), strict=True)
            there = tuple(Exchange(one.host, other.preference) for one, other in turned)
        return (
            MailDomain(
                OTHER,
                there,
                None if topology.recipients is None else (EVE,),
                topology.backup_knows_recipients,
                {"sales": BOB} if self.aliases else {},
            ),
        )

    def _aliases(self) -> Aliases:
        """A team, who may sit at two domains, and a mailbox with a second reader."""
        if not self.aliases:
            return {}
        more = (EVE,) if self.other else ()
        return {"team": (BOB, CAROL, *more), "carol": (CAROL, BOB)}

    def _relays(self, topology: Topology) -> tuple[RelayHost, ...]:
        """Each takes mail from the one before it, and the last asks DNS."""
        names = [f"relay{number}" for number in range(1, self.relays + 1)]
        before = [topology.client, *names]
        onward = [*names[1:], None]
        return tuple(
            RelayHost(name, f"{name}.test", (source,), smarthost)
            for name, source, smarthost in zip(names, before, onward, strict=False)
        )


PLAIN = Beside()
