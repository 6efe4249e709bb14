"""The resolver that walks from the root (RFC 1034 §5.3.3), as every mail server's resolver does.

It asks a zone's servers in turn, passing by those that were silent a moment ago, and remembers
delegations for their TTL. It believes a server only what is that server's to say: glue within the
zone that was asked, answers with authority, referrals that lead further down. Whatever the servers
say, a lookup ends, after MAX_QUESTIONS at the latest, with an answer or with the reason for none.

Long: one walk, whose cache, questions and bounds share one state.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct

from mxlab_services.clock import Clock
from mxlab_services.dns.answers import TEMPORARY, Status
from mxlab_services.dns.dig import Exchanged
from mxlab_services.dns.lookup import CACHED, CachingResolver
from mxlab_services.dns.names import ROOT, Name, is_below, name_text
from mxlab_services.dns.query import DnsClient, DnsReply
from mxlab_services.dns.reading import Learnt, failure, read_answer
from mxlab_services.dns.records import data_text
from mxlab_services.dns.referral import Networks, Referral, allowed, in_networks
from mxlab_services.errors import ControlError
from mxlab_services.events import Emit
from mxlab_services.ip import ip_address, ip_network

TIMEOUTS = (1.0, 2.0)  # real seconds that each server gets, in the first round and the second
SILENT = 60.0  # lab seconds for which a silent server is asked last
MAX_QUESTIONS = 30  # in one lookup; to look for a server's address is another
DELEGATIONS = 1000  # remembered
FOREIGN = "is of a family in which this host has no address"


class IterativeResolver(CachingResolver):
    """`answers.Resolver` from the root. `roots` are the addresses of its servers, `networks` (CIDR)
    where servers may be asked at all, `sources` the addresses to ask from, of either family."""

    def __init__(
        self,
        roots: Iterable[str],
        port: int,
        clock: Clock,
        rng: random.Random,
        emit: Emit,
        networks: Iterable[str],
        timeouts: tuple[float, ...] = TIMEOUTS,
        size: int = CACHED,
        sources: Iterable[str] = (),
    ) -> None:
        walker = Walker(roots, port, clock, rng, networks, timeouts, sources)
        super().__init__(walker, clock, emit, size)


class _Place(Struct, frozen=True):
    """A server of a zone, at one of its addresses."""

    server: Name
    address: str

    def __str__(self) -> str:
        return f"{name_text(self.server)} ({self.address})" if self.server else self.address


class _Delegation(Struct, frozen=True):
    """Who serves the zone that begins at `cut`, until when (lab time)."""

    referral: Referral
    until: float

    @property
    def cut(self) -> Name:
        return self.referral.cut


@dataclass
class _Search:
    """One lookup: what it has asked so far. `fresh`: nothing that was remembered counts."""

    fresh: bool = False
    questions: int = 0
    seen: list[Exchanged] = field(default_factory=list)
    looked_for: tuple[Name, ...] = ()  # servers whose addresses are being looked up


class Walker:
    """A `lookup.Finder` that begins at the root."""

    def __init__(
        self,
        roots: Iterable[str],
        port: int,
        clock: Clock,
        rng: random.Random,
        networks: Iterable[str],
        timeouts: tuple[float, ...] = TIMEOUTS,
        sources: Iterable[str] = (),
    ) -> None:
        self._sources = {ip_address(one).version: one for one in sources}
        self._root = _Delegation(Referral(ROOT, {ROOT: tuple(roots)}), float("inf"))
        self._port = port
        self._clock = clock
        self._rng = rng
        self._networks: Networks = [ip_network(network) for network in networks]
        self._timeouts = timeouts
        self._known: OrderedDict[Name, _Delegation] = OrderedDict()
        self._silent: dict[str, float] = {}  # until when, by address

    def forget(self) -> None:
        """Begin at the root again, and ask every server."""
        self._known.clear()
        self._silent.clear()

    async def find(self, name: Name, kind: str) -> Learnt:
        """What the servers of the name's zone say of it."""
        return await self._walk(name, kind, _Search())

    async def walk(self, name: Name, kind: str) -> tuple[list[Exchanged], Learnt]:
        """From the root, past all that is remembered."""
        search = _Search(fresh=True)
        step = await self._walk(name, kind, search)
        return search.seen, step

    async def question(
        self, name: Name, kind: str, tcp: bool, server: str
    ) -> tuple[tuple[str, int], DnsReply | None]:
        """One question to a server of the lab's, or else to the one that knows."""
        if server:
            address = allowed(server, self._networks)
            exchange = self._exchange(address, sum(self._timeouts), recursion=True)
            return exchange.server, await exchange.ask(name, kind, tcp)
        search = _Search()
        await self._walk(tuple(label.lower() for label in name), kind, search)
        if not search.seen:
            raise ControlError("there is no server to ask")
        last = search.seen[-1]
        if tcp and last.reply is not None:
            again = self._exchange(last.address, sum(self._timeouts))
            return again.server, await again.ask(name, kind, tcp)
        return (last.address, last.port), last.reply

    # --- down the tree ----------------------------------------------------------------------------

    async def _walk(self, name: Name, kind: str, search: _Search) -> Learnt:
        # A DS at a zone's top is the business of the zone above (RFC 4035 §3.1.4.1).
        start = self._nearest(name[1:] if kind == "DS" and name else name, search)
        step = await self._descend(start, name, kind, search)
        if step.status in TEMPORARY and start is not self._root:
            # What is remembered may be of yesterday: the delegation may have moved.
            for depth in range(len(name) + 1):
                self._known.pop(name[depth:], None)
            step = await self._descend(self._root, name, kind, search)
        return step

    async def _descend(self, at: _Delegation, name: Name, kind: str, search: _Search) -> Learnt:
        while True:
            step = await self._ask_zone(at, name, kind, search)
            if step.referral is None:
                return step
            at = self._learn(step.referral, at.cut)

    def _nearest(self, name: Name, search: _Search) -> _Delegation:
        """The delegation nearest above the name that is still good."""
        for depth in range(0 if not search.fresh else len(name), len(name)):
            known = self._known.get(name[depth:])
            if known is not None and known.until > self._clock.time():
                return known
        return self._root

    def _learn(self, referral: Referral, asked: Name) -> _Delegation:
        """Remember a referral by a server of the zone `asked`, with the glue that is in its
        bailiwick: addresses of other names are for others to say (RFC 2181 §5.4.1)."""
        servers = {
            server: addresses if is_below(server, asked) else ()
            for server, addresses in referral.servers.items()
        }
        kept = Referral(referral.cut, servers, referral.ttl)
        delegation = _Delegation(kept, self._clock.time() + referral.ttl)
        self._known[kept.cut] = delegation
        self._known.move_to_end(kept.cut)
        while len(self._known) > DELEGATIONS:
            self._known.popitem(last=False)
        return delegation

    # --- one zone ---------------------------------------------------------------------------------

    async def _ask_zone(self, at: _Delegation, name: Name, kind: str, search: _Search) -> Learnt:
        """What the first server of a zone says that knows; else why none does."""
        asking = _Asking(self, at, name, kind, search)
        for place in self._places(at, asking.reasons):
            if (step := await asking.ask(place, self._timeouts[0])) is not None:
                return step
        for server, addresses in at.referral.servers.items():
            if addresses:
                continue
            found, why = await self._look_up_server(server, at.cut, search)
            if why:
                asking.reasons[name_text(server)] = why
            for address in found:
                if (
                    step := await asking.ask(_Place(server, address), self._timeouts[0])
                ) is not None:
                    return step
        for seconds in self._timeouts[1:]:
            for place in asking.take_silent():
                if (step := await asking.ask(place, seconds)) is not None:
                    return step
        return asking.nobody()

    def _places(self, at: _Delegation, reasons: dict[str, str]) -> list[_Place]:
        """Where the zone's servers are, as far as that came along: those last that were silent a
        moment ago."""
        places = [
            _Place(server, address)
            for server, addresses in at.referral.servers.items()
            for address in addresses
        ]
        outside = [one for one in places if not in_networks(one.address, self._networks)]
        reasons |= {str(place): "not in the lab, so it is not asked" for place in outside}
        foreign = [
            one for one in places if one not in outside and not self._has_family(one.address)
        ]
        reasons |= {str(place): FOREIGN for place in foreign}
        now = self._clock.time()
        return sorted(
            (place for place in places if place not in (*outside, *foreign)),
            key=lambda place: self._silent.get(place.address, 0.0) > now,
        )

    def _has_family(self, address: str) -> bool:
        return not self._sources or ip_address(address).version in self._sources

    async def _look_up_server(
        self, server: Name, cut: Name, search: _Search
    ) -> tuple[list[str], str]:
        """The addresses of a server that came without, or why there is none."""
        if is_below(server, cut):
            return [], "no glue, and it lies in the zone itself"
        if server in search.looked_for:
            return [], "to find it, it would have to be found: a loop"
        if search.questions >= MAX_QUESTIONS:
            return [], "too many questions before it"
        search.questions += 1  # even where all is remembered: the names may branch without end
        before, search.looked_for = search.looked_for, (*search.looked_for, server)
        try:
            found: list[str] = []
            step = failure(server, "servfail")
            for kind in ("A", "AAAA"):
                step = await self._walk(server, kind, search)
                found += [data_text(record.rdata) for record in step.records]
                if any(map(self._has_family, found)) or step.status in TEMPORARY:
                    break
        finally:
            search.looked_for = before
        here = [address for address in found if in_networks(address, self._networks)]
        if good := [address for address in here if self._has_family(address)]:
            return good, ""
        if here:
            return [], f"{', '.join(here)} {FOREIGN}"
        if found:
            return [], f"{', '.join(found)} is not in the lab, so it is not asked"
        return [], f"its address: {step.why or step.status}"

    async def ask(
        self, place: _Place, cut: Name, name: Name, kind: str, search: _Search, seconds: float
    ) -> Learnt | None:
        """What one server of the zone at `cut` says, None for silence."""
        loop = asyncio.get_running_loop()
        exchange = self._exchange(place.address, seconds)
        search.questions += 1
        began = loop.time()
        reply = await exchange.ask(name, kind)
        spent = (loop.time() - began) * 1000
        search.seen.append(
            Exchanged(name_text(place.server), place.address, self._port, name, kind, reply, spent)
        )
        if reply is None:
            self._silent[place.address] = self._clock.time() + SILENT
            return None
        self._silent.pop(place.address, None)
        return read_answer(reply.message, name, kind, cut, own=True)

    def _exchange(self, address: str, seconds: float, *, recursion: bool = False) -> DnsClient:
        own = self._sources.get(ip_address(address).version)
        return DnsClient(
            (address, self._port), self._rng, (seconds,), recursion=recursion,
            source=None if own is None else (own, 0),
        )  # fmt: skip


class _Asking:
    """One question to the servers of one zone, and why those did not help that were asked."""

    def __init__(
        self, walker: Walker, at: _Delegation, name: Name, kind: str, search: _Search
    ) -> None:
        self.reasons: dict[str, str] = {}
        self._walker = walker
        self._at = at
        self._name = name
        self._kind = kind
        self._search = search
        self._silent: list[_Place] = []
        self._status: Status | None = None

    async def ask(self, place: _Place, seconds: float) -> Learnt | None:
        """The end of the question, if this server knows it, or too much was asked already."""
        if self._search.questions >= MAX_QUESTIONS:
            return failure(self._name, "servfail", f"given up after {MAX_QUESTIONS} questions")
        step = await self._walker.ask(
            place, self._at.cut, self._name, self._kind, self._search, seconds
        )
        if step is None:
            self._silent.append(place)
            self.reasons[str(place)] = "no answer"
            return None
        if step.status in TEMPORARY:
            self._status = step.status
            self.reasons[str(place)] = step.why
            return None
        return step

    def take_silent(self) -> list[_Place]:
        """Those that did not answer, to be asked once more."""
        taken, self._silent = self._silent, []
        return taken

    def nobody(self) -> Learnt:
        """What it came to: no server knows."""
        status = self._status or ("timeout" if self._silent else "servfail")
        why = "; ".join(f"{who}: {reason}" for who, reason in self.reasons.items())
        return failure(self._name, status, f"no server of {name_text(self._at.cut)} knows: {why}")
