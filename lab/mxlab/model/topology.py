"""The shape of a lab: mail domains, their exchanges, DNS servers, clients, relays in between.

Long: one value of parts, and the questions about its hosts that need all of them.
"""

from functools import cached_property
from typing import Annotated, Literal

import msgspec

from mxlab.model.duration import Seconds
from mxlab.model.patience import Bounds, Patience
from mxlab.model.reference import beside_list, naming
from mxlab.model.software import OURS, SOFTWARE
from mxlab_services.config import Software
from mxlab_services.faults.base import HOST_NAME

Host = Annotated[str, HOST_NAME, naming("host")]
OneHost = Annotated[str, beside_list(HOST_NAME), naming("host")]
SenderHost = Annotated[str, HOST_NAME, naming("sender")]  # a client's
MailHost = Annotated[str, HOST_NAME, naming("mail host")]  # any but the DNS server
NameServerHost = Annotated[str, HOST_NAME, naming("name server")]
LONGEST_NAME = 253  # RFC 1035 §2.3.4, written without the last dot
# Letters beyond ASCII may stand in U-labels; which of them, `mxlab_services.domain` knows.
_LETTER = r"[^\x00-@\[-`{-\x7f]"
_LETTER_OR_DIGIT = r"[^\x00-/:-@\[-`{-\x7f]"
_INNER = r"([^\x00-,./:-@\[-`{-\x7f]{0,61}[^\x00-/:-@\[-`{-\x7f])?"
_NAME = (
    "a domain: labels of letters, digits and hyphens, at most 63 each (RFC 1035 §2.3.4), no hyphen "
    "first or last, with dots between"
)
_LABELS, _LAST = rf"({_LETTER_OR_DIGIT}{_INNER}\.)", rf"{_LETTER}{_INNER}\.?"
Domain = Annotated[
    str,
    msgspec.Meta(pattern=f"^{_LABELS}+{_LAST}$", max_length=LONGEST_NAME, description=_NAME),
    naming("domain"),
]
ZoneName = Annotated[  # a zone's origin: a top-level domain has one too
    str,
    msgspec.Meta(pattern=f"^{_LABELS}*{_LAST}$", max_length=LONGEST_NAME, description=_NAME),
    naming("domain"),
]
Family = Literal[4, 6]  # of IP addresses
Families = Annotated[tuple[Family, ...], msgspec.Meta(min_length=1, max_length=2)]
ROOT_ZONE = "."
ServedZone = Annotated[  # by a name server: the root, too
    str,
    msgspec.Meta(
        pattern=rf"^(\.|{_LABELS}*{_LAST})$", max_length=LONGEST_NAME, description=f"{_NAME}; or ."
    ),
]
Preference = Annotated[int, msgspec.Meta(ge=0, le=65535)]

RESERVED_DOMAINS = (
    "test",
    "example",
    "invalid",
    "localhost",
    "example.com",
    "example.net",
    "example.org",
)


ProductSettings = Annotated[dict[str, str], msgspec.Meta(max_length=50)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class RetryHabit(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """When a host tries mail again, and for how long; what is None is as the lab has it."""

    schedule: str | None = None
    jitter: Share | None = None
    lifetime: Seconds | None = None
    warning: Seconds | None = None


class Exchange(RetryHabit, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One MX host and its preference: the lower, the better (RFC 5321 §5.1).

    `role` says what the host believes to be; None: primary if none has a better preference. `ip`:
    the families in which it has an address; None: those of the lab. In the families of
    `unreachable`, DNS lists an address for it at which nobody is. `timeouts` names a set, or says
    what differs; `limits` likewise: None, and what they do not give, is as the lab has it.
    `software`: whose mail server it is (see `model.software`); `product_settings`: what is set in
    that product's own words, whatever else the topology says.
    """

    host: Host
    preference: Preference
    role: Literal["primary", "backup"] | None = None
    ip: Families | None = None
    unreachable: tuple[Family, ...] = ()
    timeouts: Patience | str | None = None
    limits: Bounds | None = None
    software: Software = "mxlab"
    product_settings: ProductSettings = {}


Exchanges = Annotated[tuple[Exchange, ...], msgspec.Meta(min_length=1, max_length=16)]


Members = str | Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=1000)]


class Submitters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may hand in mail at the client from outside the lab: passwords by name.

    They are a lab's, kept in the open where the lab's configuration is. `senders`: the address, or
    the addresses, that a user may send from (`@domain`: all of a domain); who is not there may use
    any (RFC 6409 §6.1).
    """

    users: Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=100)]
    senders: Annotated[dict[str, Members], msgspec.Meta(max_length=100)] = {}


class Client(RetryHabit, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One more sender, with a domain of its own, whose mail it takes.

    `ip`, `timeouts` and `limits`: as of the lab, which they are where None; `smarthost`: as of the
    first client. `concurrency`: how many connections it opens to one destination at a time; None:
    as `limits` say, 20. `software`: as of an exchange.
    """

    host: Host
    domain: Domain
    smarthost: Host | None = None
    ip: Families | None = None
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=200)] | None = None
    timeouts: Patience | str | None = None
    limits: Bounds | None = None
    software: Software = "mxlab"


class NameServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One DNS server of several: the zones whose `primary` it is, and those that it takes from
    their primary as a `secondary`. "." is the root."""

    host: Host
    primary: tuple[ServedZone, ...] = ()
    secondary: tuple[ServedZone, ...] = ()


Aliases = Annotated[dict[str, Members], msgspec.Meta(max_length=1000)]


class MailDomain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A mail domain beside the lab's first. Its exchanges are hosts of its own, or those of another
    domain: a host may be a primary here and a backup there. `recipients`, `aliases` and
    `backup_knows_recipients` are as of the first domain."""

    domain: Domain
    mx: Exchanges
    recipients: tuple[str, ...] | None = None
    backup_knows_recipients: bool = True
    aliases: Aliases = {}

    def whole(self, address: str) -> str:
        """An address as it is meant here: one without a domain is of this one."""
        return address if "@" in address else f"{address}@{self.domain}"

    @property
    def alias_members(self) -> dict[str, list[str]]:
        """The members of each alias, all as whole addresses."""
        return {
            self.whole(alias): [self.whole(m) for m in ((to,) if isinstance(to, str) else to)]
            for alias, to in self.aliases.items()
        }

    @property
    def primaries(self) -> tuple[str, ...]:
        """The hosts that deliver to mailboxes: those with the lowest preference, or so told."""
        best = min(exchange.preference for exchange in self.mx)
        return tuple(
            e.host
            for e in self.mx
            if e.role == "primary" or (e.role is None and e.preference == best)
        )

    @property
    def backups(self) -> tuple[str, ...]:
        """The other exchanges: they queue and forward."""
        return tuple(e.host for e in self.mx if e.host not in self.primaries)


class RelayHost(
    RetryHabit,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"takes_from": "for"},
):
    """A relay: it takes mail for anywhere, from the hosts `for` which it is there and from nobody
    else. `domain` is where its name lies; with `smarthost`, it hands all on to the next relay.
    `software`: as of an exchange."""

    host: Host
    domain: Domain
    takes_from: Annotated[tuple[Host, ...], msgspec.Meta(min_length=1, max_length=100)]
    smarthost: Host | None = None
    software: Software = "mxlab"


class Topology(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, dict=True
):
    """A lab. The exchanges with the lowest preference are primaries, the others backups.

    `recipients` are the addresses that exist at the domain; None takes any. The backups know them
    too, unless `backup_knows_recipients` is false. `schedule` names one of the MTA's retry
    schedules; `jitter` is the share of a wait by which chance may lengthen it, None: the schedule's
    own. `lifetime` is how long mail is tried, `warning` the age at which its sender hears of the
    delay, 0 for never; None: as the schedule has it. All four may be otherwise at an exchange or a
    relay, and by `client_retry` at the client.

    With `tls`, every MTA offers and uses STARTTLS with the lab's own CA. With `imap`, the
    mailboxes of each primary can be read with a mail program (`imap_servers`). With `submission`,
    the client also listens on 587 and 465, where TLS and AUTH are required. `ip`: the families of
    IP in which its nodes have addresses; `client_ip`: those of the client, None: the same. `dns` is
    the DNS server, or several: the first is primary of what no other is named for, and one that is
    named for nothing takes every zone from its primary. `resolver`: whether senders ask one server
    (stub) or walk from the root (iterative); None: stub where there is one server. `domains` are
    further mail domains. With `smarthost`, the client hands all its mail to that one of `relays`.
    Mail for one of the `aliases` goes to its members, here or elsewhere.
    `timeouts` and `limits` are of all MTAs, but for what an exchange, or the client by
    `client_timeouts` and `client_limits`, has of its own.
    `clients` are further senders beside `client`, whose software is `client_software`.
    """

    domain: Domain = "example.test"
    mx: Exchanges = (Exchange("mx1", 10), Exchange("mx2", 20))
    domains: Annotated[tuple[MailDomain, ...], msgspec.Meta(max_length=16)] = ()
    client: Host = "client"
    client_domain: Domain = "client.test"
    smarthost: Host | None = None
    relays: Annotated[tuple[RelayHost, ...], msgspec.Meta(max_length=16)] = ()
    dns: (
        OneHost
        | Annotated[tuple[Host | NameServer, ...], msgspec.Meta(min_length=1, max_length=16)]
    ) = "dns"
    recipients: tuple[str, ...] | None = None
    backup_knows_recipients: bool = True
    aliases: Aliases = {}
    schedule: str = "workshop"
    jitter: Share | None = None
    lifetime: Seconds | None = None
    warning: Seconds | None = None
    client_retry: RetryHabit | None = None
    tls: bool = False
    imap: bool = False
    submission: Submitters | None = None
    ip: Families = (4,)
    client_ip: Families | None = None
    resolver: Literal["stub", "iterative"] | None = None
    timeouts: Patience | str = "workshop"
    limits: Bounds = Bounds()
    client_timeouts: Patience | str | None = None
    client_limits: Bounds | None = None
    clients: Annotated[tuple[Client, ...], msgspec.Meta(max_length=32)] = ()
    client_software: Software = "mxlab"

    @cached_property
    def mail_domains(self) -> tuple[MailDomain, ...]:
        """All domains that have exchanges, the first one first."""
        first = MailDomain(
            self.domain, self.mx, self.recipients, self.backup_knows_recipients, self.aliases
        )
        return (first, *self.domains)

    @cached_property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every exchange once, as it stands where it is named first."""
        found: dict[str, Exchange] = {}
        for domain in self.mail_domains:
            for exchange in domain.mx:
                found.setdefault(exchange.host, exchange)
        return tuple(found.values())

    @property
    def primaries(self) -> tuple[str, ...]:
        """The hosts that deliver to the mailboxes of the first domain."""
        return self.mail_domains[0].primaries

    @property
    def backups(self) -> tuple[str, ...]:
        """The other exchanges of the first domain: they queue and forward."""
        return self.mail_domains[0].backups

    @cached_property
    def mailbox_hosts(self) -> tuple[str, ...]:
        """The hosts that deliver to mailboxes of any domain."""
        served = {host for domain in self.mail_domains for host in domain.primaries}
        return tuple(e.host for e in self.exchanges if e.host in served)

    def home(self, host: str) -> str:
        """The domain in which a host's name lies: where it is named first."""
        if host in (senders := self.sender_domains):
            return senders[host]
        own = ((e.host, domain.domain) for domain in self.mail_domains for e in domain.mx)
        beside = ((relay.host, relay.domain) for relay in self.relays)
        return next((domain for name, domain in (*own, *beside) if name == host), self.domain)

    def smarthost_of(self, host: str) -> str | None:
        """The relay to which a host hands everything that is not its own; None: it asks DNS."""
        own = {sender.host: sender.smarthost for sender in self.senders}
        own |= {relay.host: relay.smarthost for relay in self.relays}
        return own.get(host)

    @cached_property
    def name_servers(self) -> tuple[NameServer, ...]:
        """The DNS servers, each with the zones that it is named for."""
        given = (self.dns,) if isinstance(self.dns, str) else self.dns
        return tuple(NameServer(one) if isinstance(one, str) else one for one in given)

    @cached_property
    def dns_hosts(self) -> tuple[str, ...]:
        """The names of the DNS servers."""
        return tuple(server.host for server in self.name_servers)

    @cached_property
    def dns_host(self) -> str:
        """The primary of the domain, which a stub asks, and commands inside a node."""
        servers = self.name_servers
        found = (server.host for server in servers if self.domain in server.primary)
        return next(found, servers[0].host)

    @property
    def walks_from_root(self) -> bool:
        """Whether senders find out for themselves, from the root."""
        return self.has_root and self.resolver != "stub"

    @property
    def has_root(self) -> bool:
        """Whether the lab has a root of its own."""
        several = len(self.dns_hosts) > 1 and self.resolver is None
        named = any(ROOT_ZONE in server.primary for server in self.name_servers)
        return self.resolver == "iterative" or several or named

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """Every node's name: DNS, exchanges in the order given, relays, clients."""
        exchanges, relays = (e.host for e in self.exchanges), (r.host for r in self.relays)
        return (*self.dns_hosts, *exchanges, *relays, *self.sender_domains)

    @cached_property
    def senders(self) -> tuple[Client, ...]:
        """The clients, `client` first."""
        first = Client(
            self.client, self.client_domain, self.smarthost, ip=self.client_ip,
            software=self.client_software,
        )  # fmt: skip
        return (first, *self.clients)

    @cached_property
    def sender_domains(self) -> dict[str, str]:
        """Each client's host -> the domain that is its own."""
        return {sender.host: sender.domain for sender in self.senders}

    @cached_property
    def software(self) -> dict[str, Software]:
        """Each mail host -> whose mail server it is, in the order of `hosts`."""
        having: list[Exchange | RelayHost | Client]
        having = [*self.exchanges, *self.relays, *self.senders]
        return {one.host: one.software for one in having}

    @property
    def product_settings(self) -> dict[str, dict[str, str]]:
        """Each exchange -> what is set in its product's own words."""
        return {one.host: one.product_settings for one in self.exchanges}

    def tells(self, host: str, what: str) -> bool:
        """Whether a host's mail server tells of that (see `SoftwareEntry.tells`); all hosts that
        run our services do."""
        return SOFTWARE[self.software.get(host, OURS)].tells(what)

    @property
    def imap_servers(self) -> dict[str, str]:
        """The IMAP servers by name, each with the primary whose mailboxes it shows: `imap` where
        there is one primary, else `imap-` and its name. They stand beside the nodes."""
        if not self.imap:
            return {}
        primaries = self.mailbox_hosts
        return {"imap" if len(primaries) == 1 else f"imap-{host}": host for host in primaries}


def families(topology: Topology, host: str) -> tuple[Family, ...]:
    """The families in which a host has an address, IPv4 first; IMAP servers have IPv4 alone."""
    if host in topology.imap_servers:
        return (4,)
    own = {e.host: e.ip for e in topology.exchanges} | {s.host: s.ip for s in topology.senders}
    return tuple(sorted(set(own.get(host) or topology.ip)))


def is_reserved(domain: str) -> bool:
    """True for names that can never be real (RFC 2606, RFC 6761)."""
    return any(domain == name or domain.endswith("." + name) for name in RESERVED_DOMAINS)
