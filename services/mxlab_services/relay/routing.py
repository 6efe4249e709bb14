"""Where mail for a domain goes: RFC 5321 §5.1, with RFC 7505's null MX and the lab's own fence.

Returns a Route whatever DNS says; a domain that cannot be reached is a value with the reply that
its sender will read. Every step is a Decision in plain words with the section that explains it.

Long: the steps of RFC 5321 §5.1 in their order, each with its note.
"""

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import groupby

from msgspec import Struct, field

from mxlab_services import events
from mxlab_services.address import domain_of, literal_address
from mxlab_services.config import MtaConfig
from mxlab_services.control.replies import RouteReport
from mxlab_services.dns.answers import Answer, Mx, Resolver
from mxlab_services.domain import fold_domain
from mxlab_services.ip import ip_address, ip_network
from mxlab_services.queue.ports import Decision, Deferred, Failed, Route, Router, Target
from mxlab_services.reply import Reply

ADDRESS_LIMIT = 5  # addresses per host and attempt (Postfix's smtp_mx_address_limit)
TARGET = "RFC 5321 §5.1"
NULL_MX = "RFC 7505 §3"
ALIAS = "RFC 2181 §10.3"
LITERAL = "RFC 5321 §4.1.3"
FAMILIES = "RFC 6724 §6"  # rules 1 (avoid what cannot be reached) and 6 (IPv6 before IPv4)
SMARTHOST = "the operator's own rule"  # RFC 5321 §5.1 is about mail that is routed by MX
FENCE = "the lab's own rule"  # lab mail cannot leave the lab


class _Notes(Struct):
    """What was decided so far on the way to a route."""

    domain: str
    decisions: list[Decision] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    def say(self, text: str, section: str = TARGET) -> None:
        self.decisions.append(Decision(text, section))

    def discard(self, host: str, why: str, section: str = TARGET) -> None:
        self.discarded.append(f"{host}: {why}")
        self.say(f"{host} is discarded: {why}", section)

    def to(self, targets: Sequence[Target], section: str = TARGET) -> Route:
        hosts = ", then ".join(target.host for target in targets)
        self.say(f"mail for {self.domain} goes to {hosts}", section)
        return Route(self.domain, tuple(targets), tuple(self.decisions), tuple(self.discarded))

    def fail(self, code: int, enhanced: str, text: str, section: str = TARGET) -> Route:
        self.say(f"undeliverable: {text}", section)
        return self._ended(Failed(Reply(code, enhanced, text)))

    def defer(self, enhanced: str, text: str) -> Route:
        self.say(f"wait and try again: {text}")
        return self._ended(Deferred(Reply(451, enhanced, text)))

    def _ended(self, failure: Deferred | Failed) -> Route:
        return Route(self.domain, (), tuple(self.decisions), tuple(self.discarded), failure)


class _Hosts(Struct):
    """The hosts found usable, and what became of those that were not.

    `self_at`: the preference at which this MTA found itself. `missing`: a host that is better than
    that (or any, if self was not found) has no usable address; `unsure`: DNS failed temporarily.
    `taken`: the addresses that will be tried, each with the host under whose name.
    """

    targets: list[Target] = field(default_factory=list)
    self_at: int | None = None
    missing: bool = False
    unsure: bool = False
    taken: dict[str, str] = field(default_factory=dict)


class MxRouter:
    """Routes by MX records (MAIL-RULES A1-A9).

    `names` and `addresses` are this MTA's own, by which it finds itself among the MX hosts.
    `networks` (CIDR) are those that it may connect to; targets elsewhere are dropped. `rng`
    shuffles hosts of equal preference. With a `smarthost`, no MX is asked for: all goes there.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        names: Collection[str],
        addresses: Collection[str],
        networks: Iterable[str],
        rng: random.Random,
        emit: events.Emit,
        smarthost: str = "",
    ) -> None:
        self._smarthost = _plain(smarthost)
        self._resolver = resolver
        self._names = frozenset(_plain(name) for name in names)
        self._addresses = frozenset(ip_address(address) for address in addresses)
        self._versions = frozenset(address.version for address in self._addresses)
        self._networks = tuple(ip_network(network) for network in networks)
        self._rng = rng
        self._emit = emit

    @classmethod
    def of(
        cls, config: MtaConfig, resolver: Resolver, rng: random.Random, emit: events.Emit
    ) -> "MxRouter":
        """The router of the MTA that `config` describes."""
        return cls(
            resolver,
            names=[config.hostname],
            addresses=config.addresses,
            networks=config.networks,
            rng=rng,
            emit=emit,
            smarthost=config.smarthost,
        )

    async def route(self, domain: str, message: str | None = None) -> Route:
        """The hosts for `domain` (or an address literal), best first. Emits events.Routed."""
        name = _plain(domain)
        notes = _Notes(name)
        if self._smarthost:
            route = await self._by_smarthost(notes, message)
        elif name.startswith("["):
            route = self._literal(notes)
        else:
            route = await self._domain(notes, message)
        last = route.decisions[-1]
        self._emit(
            events.Routed(
                domain=name,
                targets=[target.host for target in route.targets],
                discarded=list(route.discarded),
                reason=last.text,
                section=last.section,
            ),
            message,
        )
        return route

    async def _by_smarthost(self, notes: _Notes, message: str | None) -> Route:
        """The one host to which everything goes. What is wrong with it is the operator's to mend:
        no message fails for it."""
        host = self._smarthost
        notes.say(f"{host} is the smarthost: all goes there, no MX is asked for", SMARTHOST)
        hosts = _Hosts()
        await self._host(notes, Mx(0, host), message, hosts)
        if hosts.targets:
            return notes.to(hosts.targets, SMARTHOST)
        if hosts.self_at is not None:
            return notes.defer("4.3.5", f"the smarthost {host} is this host itself")
        return notes.defer("4.4.4", f"the smarthost {host} has no usable address")

    async def _domain(self, notes: _Notes, message: str | None) -> Route:
        answer = await self._resolver.mx(notes.domain, message)
        name = _plain(answer.canonical)
        if name != notes.domain:
            notes.say(f"{notes.domain} is an alias (CNAME): go on with {name}")
        if answer.status == "nxdomain":
            return notes.fail(550, "5.1.2", f"Domain {name} does not exist")
        if answer.temporary:
            return notes.defer("4.4.3", f"{_problem(answer)} in the lookup of {name} MX")
        if not answer.mx:
            return await self._implicit(notes, name, message)
        return await self._exchanges(notes, answer.mx, message)

    async def _implicit(self, notes: _Notes, name: str, message: str | None) -> Route:
        notes.say(f"no MX record: {name} itself is the only host, with preference 0 (implicit MX)")
        hosts = _Hosts()
        await self._host(notes, Mx(0, name), message, hosts)
        return self._conclude(notes, hosts)

    async def _exchanges(self, notes: _Notes, records: Sequence[Mx], message: str | None) -> Route:
        listed = ", ".join(f"{mx.preference} {mx.exchange or '.'}" for mx in records)
        notes.say(f"MX records of {notes.domain}: {listed}")
        named = [mx for mx in records if mx.exchange]
        if not named:
            return notes.fail(
                556, "5.1.10", f"Domain {notes.domain} does not accept mail (null MX)", NULL_MX
            )
        if len(named) < len(records):
            notes.discard(
                ".", "a null MX must be the only MX record, an error in the zone", NULL_MX
            )
        hosts = _Hosts()
        for preference, group in groupby(self._merge(notes, named), lambda mx: mx.preference):
            equal = list(group)
            if hosts.self_at is not None:
                for mx in equal:
                    notes.discard(mx.exchange, f"preference {preference} is not better than ours")
                continue
            await self._equals(notes, equal, message, hosts)
        return self._conclude(notes, hosts)

    def _merge(self, notes: _Notes, records: Iterable[Mx]) -> list[Mx]:
        """Each host once, at its best preference, sorted by preference."""
        best: dict[str, Mx] = {}
        for mx in sorted(records, key=lambda mx: mx.preference):
            name = _plain(mx.exchange)
            if name in best:
                notes.say(f"{name} is listed more than once: preference {best[name].preference}")
            else:
                best[name] = Mx(mx.preference, name)
        return list(best.values())

    async def _equals(
        self, notes: _Notes, equal: list[Mx], message: str | None, hosts: _Hosts
    ) -> None:
        """Look up the hosts of one preference; where self is among them, none of them is used."""
        preference = equal[0].preference
        if len(equal) > 1:
            self._rng.shuffle(equal)
            order = ", ".join(mx.exchange for mx in equal)
            notes.say(f"equal preference {preference}, shuffled to share the load: {order}")
        here = _Hosts(taken=hosts.taken)
        for mx in equal:
            await self._host(notes, mx, message, here)
        if here.self_at is None:
            hosts.targets += here.targets
            hosts.missing |= here.missing
            hosts.unsure |= here.unsure
            return
        hosts.self_at = preference
        for target in here.targets:
            notes.discard(target.host, f"preference {preference} is not better than ours")

    async def _host(self, notes: _Notes, mx: Mx, message: str | None, hosts: _Hosts) -> None:
        """Find the addresses of one host, and sort it in."""
        host = mx.exchange
        if host in self._names:
            self._found_self(notes, mx, "by its name", hosts)
            return
        answer = await self._resolver.addresses(host, message)
        canonical = _plain(answer.canonical)
        if canonical != host:
            notes.say(f"warning: {host} is an alias of {canonical}; an MX must not name one", ALIAS)
        if canonical in self._names:
            self._found_self(notes, mx, f"as the alias of {canonical}", hosts)
        elif self._is_self(answer.addresses):
            self._found_self(notes, mx, "by its address", hosts)
        elif answer.temporary:
            hosts.missing = hosts.unsure = True
            notes.discard(host, f"{_problem(answer)} in the lookup of its address")
        elif not answer.addresses:
            hosts.missing = True
            known = "does not exist" if answer.status == "nxdomain" else "has no address"
            notes.discard(host, f"the name {known}")
        elif usable := self._usable(notes, host, answer.addresses):
            if fresh := self._fresh(notes, host, usable, hosts):
                hosts.targets.append(Target(host, mx.preference, fresh))
        else:
            hosts.missing = True

    def _found_self(self, notes: _Notes, mx: Mx, how: str, hosts: _Hosts) -> None:
        hosts.self_at = mx.preference
        notes.discard(mx.exchange, f"it is this host, known {how}, at preference {mx.preference}")

    def _is_self(self, addresses: Iterable[str]) -> bool:
        return any(ip_address(address) in self._addresses for address in addresses)

    def _fresh(
        self, notes: _Notes, host: str, addresses: Sequence[str], hosts: _Hosts
    ) -> tuple[str, ...]:
        """The addresses that no host before has: each is tried once in an attempt. One address is
        one server, whatever names lead there, and its reply stands."""
        fresh = [address for address in addresses if address not in hosts.taken]
        if not fresh:
            others = " and ".join(dict.fromkeys(hosts.taken[address] for address in addresses))
            notes.discard(host, f"its addresses are those of {others}, tried already")
        elif len(fresh) < len(addresses):
            for address in addresses:
                if address in hosts.taken:
                    why = f"the same address as {hosts.taken[address]}, tried already"
                    notes.discard(f"{host}[{address}]", why)
        if len(fresh) > ADDRESS_LIMIT:
            notes.say(f"{host} has {len(fresh)} addresses: the first {ADDRESS_LIMIT} are tried")
            fresh = self._limited(notes, fresh)
        hosts.taken |= dict.fromkeys(fresh, host)
        return tuple(fresh)

    def _limited(self, notes: _Notes, addresses: list[str]) -> list[str]:
        """The first ADDRESS_LIMIT; the last of these gives way to the other family, if it has no
        address among them: the one family may be dead."""
        kept = addresses[:ADDRESS_LIMIT]
        other = next((one for one in addresses if _is_four(one) != _is_four(kept[0])), None)
        if other is not None and other not in kept:
            notes.say(f"{other} takes the place of the last of them, for its family", FAMILIES)
            kept[-1] = other
        return kept

    def _usable(self, notes: _Notes, host: str, addresses: Sequence[str]) -> list[str]:
        """The addresses that may be tried at all, each once: those of IPv6 first, within a family
        in the order given (RFC 6724 in short)."""
        usable: list[str] = []
        for text in dict.fromkeys(addresses):
            address = ip_address(text)
            if any(address in network for network in self._networks):
                if self._versions and address.version not in self._versions:
                    why = f"this host has no IPv{address.version} address to send from"
                    notes.discard(f"{host}[{text}]", why, FAMILIES)
                else:
                    usable.append(text)
            elif address.is_loopback or address.is_unspecified:
                notes.discard(f"{host}[{text}]", "a loopback address is no mail exchanger")
            else:
                notes.discard(f"{host}[{text}]", "it lies outside the lab's networks", FENCE)
        best = sorted(usable, key=_is_four)
        if best and _is_four(best[0]) != _is_four(best[-1]):
            notes.say(f"{host} has addresses of both families: IPv6 is tried first", FAMILIES)
        return best

    def _conclude(self, notes: _Notes, hosts: _Hosts) -> Route:
        domain = notes.domain
        if hosts.targets:
            return notes.to(hosts.targets)
        if hosts.self_at is not None and not hosts.missing:
            return notes.fail(554, "5.4.6", f"mail for {domain} loops back to myself")
        if hosts.self_at is not None:
            return notes.defer(
                "4.4.4", f"unable to find primary relay for {domain}: a better MX has no address"
            )
        if hosts.unsure:
            return notes.defer("4.4.3", f"no address of a mail exchanger of {domain} was found yet")
        return notes.fail(550, "5.4.4", f"no mail exchanger of {domain} has a usable address")

    def _literal(self, notes: _Notes) -> Route:
        text = literal_address(notes.domain)
        if text is None:
            return notes.fail(550, "5.1.2", f"{notes.domain} is no address literal", LITERAL)
        address = ip_address(text)
        notes.say(f"{notes.domain} is an address literal: no lookup", LITERAL)
        hosts = _Hosts()
        if address in self._addresses:
            self._found_self(notes, Mx(0, notes.domain), "by its address", hosts)
        elif usable := self._usable(notes, notes.domain, [str(address)]):
            hosts.targets.append(Target(notes.domain, 0, tuple(usable)))
        return self._conclude(notes, hosts)


def _is_four(address: str) -> bool:
    return ":" not in address


async def report(router: Router, address: str, is_local: Callable[[str], bool]) -> RouteReport:
    """Where a message to `address` would go and why, a decision a line.

    `address` may also be a bare domain. `is_local` says whether this node keeps a domain's mail.
    """
    domain = domain_of(address if "@" in address else f"@{address}")
    if is_local(domain):
        decision = f"{domain} is delivered here: this is its final host (RFC 5321 §2.3.10)"
        return RouteReport(address, "local", [], [decision])
    route = await router.route(domain)
    lines = [f"{decision.text} ({decision.section})" for decision in route.decisions]
    targets = [
        f"{target.preference} {target.host} [{', '.join(target.addresses)}]"
        for target in route.targets
    ]
    match route.failure:
        case Deferred(reply=reply):
            return RouteReport(address, "defer", [], lines, str(reply))
        case Failed(reply=reply):
            return RouteReport(address, "fail", [], lines, str(reply))
        case None:
            return RouteReport(address, "relay", targets, lines)


def _plain(name: str) -> str:
    return fold_domain(name)


def _problem(answer: Answer) -> str:
    words = {"servfail": "SERVFAIL", "refused": "REFUSED", "timeout": "no answer"}
    return f"{words[answer.status]} ({answer.why})" if answer.why else words[answer.status]
