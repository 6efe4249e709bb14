"""The MTA's stub resolver: asks one server, follows CNAMEs, remembers answers for their TTL.

A referral is followed to servers within `networks`, and is a failure where it leads to none.

DNS failures are values. The cache lives in lab time: answers for their TTL, negative ones for
min(SOA TTL, SOA MINIMUM) (RFC 2308 §5), failures briefly (RFC 9520 §3.2); its size is bounded.
"""

import asyncio
import ipaddress
import random
from collections import OrderedDict
from collections.abc import Iterable

from dnslib import CLASS, QTYPE, RCODE, RR, DNSRecord
from msgspec import Struct
from msgspec.structs import replace

from mxlab_services.clock import Clock
from mxlab_services.control.replies import DigReport
from mxlab_services.dns.answers import TEMPORARY, Answer, Mx, Status
from mxlab_services.dns.names import ROOT, Name, fold, name_text, parse_name
from mxlab_services.dns.query import Exchange, Reply
from mxlab_services.dns.rdata import type_name, type_number
from mxlab_services.dns.records import answer_text, data_text
from mxlab_services.dns.referral import Referral, read_referral
from mxlab_services.errors import ControlError, ZoneError
from mxlab_services.events import Emit, Lookup

TIMEOUTS = (1.0, 1.0, 2.0)  # real seconds, one for each attempt by UDP
MAX_CHAIN = 8  # CNAMEs followed in one lookup
MAX_REFERRALS = 8  # zone cuts, one below the other
MAX_SERVERS = 3  # of one zone, asked until one of them knows
MAX_DEPTH = 2  # lookups of servers within lookups of servers
MAX_TTL = 604800  # lab seconds: the longest that anything is kept (RFC 8767 §4)
MAX_NEGATIVE_TTL = 10800  # lab seconds (RFC 2308 §5)
FAILURE_TTL = 5.0  # lab seconds; RFC 9520 §3.2 wants between 1 s and 5 min
CACHED = 10_000  # answers kept


class _Found(Struct, frozen=True):
    """An outcome and the lab seconds for which it holds."""

    answer: Answer
    ttl: float


class _Step(Struct, frozen=True):
    """What one message says about a name: records, or a status, or a name to ask for (`again`), or
    who knows (`referral`)."""

    name: Name
    ttl: float
    status: Status = "ok"
    records: tuple[RR, ...] = ()
    again: bool = False
    referral: Referral | None = None
    why: str = ""


class StubResolver:
    """`answers.Resolver` over the network, with a cache and one query for equal questions.

    `networks` (CIDR): where servers may be asked to which a referral leads.
    """

    def __init__(
        self,
        server: tuple[str, int],
        clock: Clock,
        rng: random.Random,
        emit: Emit,
        timeouts: tuple[float, ...] = TIMEOUTS,
        size: int = CACHED,
        networks: Iterable[str] = (),
    ) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._exchange = Exchange(server, rng, timeouts)
        self._clock = clock
        self._emit = emit
        self._size = size
        self._cache: OrderedDict[tuple[Name, str], tuple[float, Answer]] = OrderedDict()
        self._running: dict[tuple[Name, str], asyncio.Task[Answer]] = {}

    async def mx(self, name: str, message: str | None = None) -> Answer:
        """The MX records of `name`, in the order given."""
        answer = await self._look_up(name, "MX")
        shown = [f"{item.preference} {item.exchange or '.'}" for item in answer.mx]
        self._emit(Lookup(name, "MX", answer.status, shown, answer.cached), message)
        return answer

    async def addresses(self, name: str, message: str | None = None) -> Answer:
        """A and AAAA together, A first; found if either is, temporary if that could change it."""
        four, six = await asyncio.gather(self._look_up(name, "A"), self._look_up(name, "AAAA"))
        best = next((one for one in (four, six) if one.status == "ok"), None) or next(
            (one for one in (four, six) if one.temporary), four
        )
        both = (*four.addresses, *six.addresses)
        answer = replace(best, type="A", addresses=both, cached=four.cached and six.cached)
        self._emit(Lookup(name, "A", answer.status, list(both), answer.cached), message)
        return answer

    def forget(self) -> None:
        """Ask for everything again."""
        self._cache.clear()

    async def dig(self, name: str, type: str = "A", tcp: bool = False) -> DigReport:  # noqa: A002
        """Ask past the cache, once. Raises ControlError for what is no question."""
        if (number := type_number(type)) is None:
            raise ControlError(f"no such record type: {type!r}", -32602)
        kind = type_name(number)
        try:
            asked = parse_name(name)
        except ZoneError as error:
            raise ControlError(str(error), -32602) from error
        loop = asyncio.get_running_loop()
        began = loop.time()
        reply = await self._exchange.ask(asked, kind, tcp)
        spent = (loop.time() - began) * 1000
        head = f"; <<>> mxlab <<>> {name} {kind}{' +tcp' if tcp else ''}\n"
        server = self._exchange.server
        if reply is None:
            text = f";; no servers could be reached: {server[0]}#{server[1]} did not answer\n"
            return DigReport("TIMEOUT", [], [], head + text, spent)
        message = reply.message
        return DigReport(
            _rcode(message),
            [_line(record) for record in message.rr],
            [_line(record) for record in message.auth],
            head + _dig_text(reply, spent, server),
            spent,
        )

    async def _look_up(self, name: str, kind: str) -> Answer:
        try:
            asked = fold(parse_name(name))
        except ZoneError:  # no such name can exist
            return Answer(name, kind, "nxdomain", name)
        key = asked, kind
        kept = self._cache.get(key)
        if kept is not None:
            if kept[0] > self._clock.time():
                self._cache.move_to_end(key)
                return replace(kept[1], name=name, cached=True)
            del self._cache[key]
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(name, asked, kind))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        # A caller that gives up must not take the answer from the others.
        return replace(await asyncio.shield(task), name=name)

    async def _ask(self, name: str, asked: Name, kind: str) -> Answer:
        found = await self._follow(name, asked, kind)
        if found.ttl > 0:
            self._cache[asked, kind] = self._clock.time() + found.ttl, found.answer
            while len(self._cache) > self._size:
                self._cache.popitem(last=False)
        return found.answer

    async def _follow(self, name: str, asked: Name, kind: str) -> _Found:
        """Ask, and ask again for the target of a CNAME that the server did not follow."""
        current = asked
        ttl: float = MAX_TTL
        for _ in range(MAX_CHAIN):
            step = await self._walk(current, kind)
            current, ttl = step.name, min(ttl, step.ttl)
            if not step.again:
                return _Found(_answer(name, kind, step), ttl)
        return _Found(Answer(name, kind, "servfail", _bare(current)), FAILURE_TTL)

    async def _walk(self, name: Name, kind: str, depth: int = 0) -> _Step:
        """Ask our server, and the one to which it refers, and so on down the tree of names."""
        servers: list[str | None] = [None]
        cut = ROOT
        for _ in range(MAX_REFERRALS):
            step = await self._ask_one_of(servers, name, kind, cut)
            if step.referral is None:
                return step
            cut = step.referral.cut
            servers = list(await self._servers(step.referral, depth))
            if not servers:
                why = f"{step.referral}: no server of the lab's"
                return _Step(name, FAILURE_TTL, "servfail", why=why)
        return _Step(name, FAILURE_TTL, "servfail", why="too many referrals")

    async def _ask_one_of(
        self, servers: list[str | None], name: Name, kind: str, cut: Name
    ) -> _Step:
        """What the first server says that knows; else what the last one came to."""
        step = _Step(name, FAILURE_TTL, "timeout")
        for server in servers[:MAX_SERVERS]:
            reply = await self._exchange.ask(name, kind, server=server)
            step = _Step(name, FAILURE_TTL, "timeout")
            if reply is not None:
                step = _read(reply.message, name, kind, cut)
            if step.status not in TEMPORARY:
                break
        return step

    async def _servers(self, referral: Referral, depth: int) -> list[str]:
        """The addresses to which a referral leads, looked up where none came along."""
        found = referral.addresses(self._networks)
        if not found and depth < MAX_DEPTH:
            for server in referral.unknown()[:MAX_SERVERS]:
                step = await self._walk(server, "A", depth + 1)
                known = tuple(data_text(record.rdata) for record in step.records)
                found += Referral(referral.cut, {server: known}).addresses(self._networks)
        return found


def _read(message: DNSRecord, name: Name, kind: str, cut: Name = ROOT) -> _Step:
    """What the message says about `name`, after the CNAMEs in it. `cut` is where the zone begins
    of which its server was said to know: a referral leads further down, or nowhere."""
    rcode = _rcode(message)
    referral = read_referral(message, name)
    if referral is not None:
        if len(referral.cut) > len(cut):
            return _Step(name, FAILURE_TTL, referral=referral)
        why = f"{referral}, says its own server"
        return _Step(name, FAILURE_TTL, "servfail", why=why)
    if rcode not in ("NOERROR", "NXDOMAIN"):
        return _Step(name, FAILURE_TTL, "refused" if rcode == "REFUSED" else "servfail")
    ttl: float = MAX_TTL
    start = name
    seen = {name}
    while alias := _rrset(message, name, "CNAME"):
        ttl = min(ttl, alias[0].ttl)
        name = fold(alias[0].rdata.label.label)
        if name in seen:
            return _Step(name, FAILURE_TTL, "servfail")  # a loop
        seen.add(name)
    records = _rrset(message, name, kind)
    if records:
        return _Step(name, min(ttl, *(record.ttl for record in records)), "ok", records)
    negative = _negative_ttl(message)
    if rcode == "NOERROR" and name != start and negative is None:
        return _Step(name, ttl, again=True)
    # RFC 2308 §5: without an SOA a negative answer is not kept.
    return _Step(name, min(ttl, negative or 0), "nodata" if rcode == "NOERROR" else "nxdomain")


def _rrset(message: DNSRecord, name: Name, kind: str) -> tuple[RR, ...]:
    return tuple(
        record
        for record in message.rr
        if record.rclass == CLASS.IN
        and record.rtype == type_number(kind)
        and fold(record.rname.label) == name
    )


def _negative_ttl(message: DNSRecord) -> int | None:
    for record in message.auth:
        if record.rtype == QTYPE.SOA:
            return int(min(record.ttl, record.rdata.times[4], MAX_NEGATIVE_TTL))
    return None


def _answer(name: str, kind: str, step: _Step) -> Answer:
    canonical = _bare(step.name)
    if kind == "MX":
        found = tuple(
            Mx(record.rdata.preference, _bare(record.rdata.label.label)) for record in step.records
        )
        return Answer(name, kind, step.status, canonical, mx=found, why=step.why)
    addresses = tuple(data_text(record.rdata) for record in step.records)
    return Answer(name, kind, step.status, canonical, addresses=addresses, why=step.why)


def _bare(name: Name) -> str:
    """The name without its final dot; the root is ""."""
    return name_text(name)[:-1]


def _rcode(message: DNSRecord) -> str:
    return str(RCODE.forward.get(message.header.rcode, f"RCODE{message.header.rcode}"))


def _line(record: RR) -> str:
    if record.rtype == QTYPE.OPT:
        return f"; EDNS: version: {record.edns_ver}, flags:; udp: {record.edns_len}"
    owner = name_text(record.rname.label)
    kind = type_name(record.rtype)
    return f"{owner} {record.ttl} IN {kind} {answer_text(kind, record.rdata)}"


def _dig_text(reply: Reply, milliseconds: float, server: tuple[str, int]) -> str:
    message = reply.message
    header = message.header
    flags = [flag for flag in ("qr", "aa", "tc", "rd", "ra") if getattr(header, flag)]
    extra = [record for record in message.ar if record.rtype != QTYPE.OPT]
    lines = [
        f";; ->>HEADER<<- opcode: QUERY, status: {_rcode(message)}, id: {reply.id}",
        f";; flags: {' '.join(flags)}; QUERY: {header.q}, ANSWER: {header.a}, "
        f"AUTHORITY: {header.auth}, ADDITIONAL: {header.ar}",
        "",
    ]
    if len(extra) < len(message.ar):
        options = [_line(record) for record in message.ar if record.rtype == QTYPE.OPT]
        lines += [";; OPT PSEUDOSECTION:", *options, ""]
    lines.append(";; QUESTION SECTION:")
    lines += [
        f";{name_text(question.qname.label)}\t\tIN\t{type_name(question.qtype)}"
        for question in message.questions
    ]
    sections = ("ANSWER", message.rr), ("AUTHORITY", message.auth), ("ADDITIONAL", extra)
    for title, records in sections:
        if records:
            lines += ["", f";; {title} SECTION:"]
            lines += ["\t".join(_line(record).split(" ", 4)) for record in records]
    lines += [
        "",
        f";; Query time: {milliseconds:.0f} msec",
        f";; SERVER: {server[0]}#{server[1]}({server[0]}) ({reply.transport.upper()})",
        f";; MSG SIZE  rcvd: {reply.size}",
    ]
    return "\n".join(lines) + "\n"
