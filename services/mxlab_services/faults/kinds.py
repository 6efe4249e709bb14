"""The faults that strike inside a node, as values: SMTP and disk faults of an MTA, and DNS faults.

A value says what happens and, by its `select`, on which occasions. They travel in control requests
(tagged by `kind`), and `problem` says what is wrong with one before anything is done. Pure.
"""

import ipaddress
from typing import Annotated, Literal

import msgspec

from mxlab_services.address import canonical, domain_of

Verb = Literal["CONNECT", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "DOT"]
"""Where in an SMTP session; EHLO means HELO too, DOT the end of the data."""

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=604_800)]
Chance = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Code = Annotated[int, msgspec.Meta(ge=400, le=599)]
Enhanced = Annotated[str, msgspec.Meta(pattern=r"\A(|[45]\.\d{1,3}\.\d{1,3})\Z")]
Words = Annotated[str, msgspec.Meta(pattern=r"\A[ -~]*\Z", max_length=400)]
Text = Annotated[str, msgspec.Meta(min_length=1)]

_PEER = frozenset({"peer"})
_COUNTS = frozenset({"first", "nth", "chance"})
_KNOWN_AT: dict[str, frozenset[str]] = {
    "CONNECT": _PEER,
    "EHLO": _PEER,
    "STARTTLS": _PEER,
    "MAIL": _PEER | {"sender"},
    "RCPT": _PEER | {"sender", "recipient"},
    "DATA": _PEER | {"sender", "recipient"},
    "DOT": _PEER | {"sender", "recipient"},
}


class Select(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """On which occasions a fault strikes; without anything, on every one.

    `peer` (an address or a network), `sender` ("" is the null reverse-path) and `recipient` (a
    whole address, or `@domain`, in any case) say which occasions fit. Of those that fit, counted
    from 1 since the fault was set: the `first` so many, or exactly the `nth`, or each with a
    `chance` that the lab's seed decides.
    """

    first: Count | None = None
    nth: Count | None = None
    chance: Chance | None = None
    peer: str | None = None
    sender: str | None = None
    recipient: str | None = None

    def __post_init__(self) -> None:
        if len(_COUNTS & self.used()) > 1:
            raise ValueError("only one of `first`, `nth` and `chance`")
        if self.peer is not None:
            ipaddress.ip_network(self.peer)

    def used(self) -> frozenset[str]:
        """The fields that are given."""
        return frozenset(name for name in self.__struct_fields__ if getattr(self, name) is not None)

    def fits(self, peer: str, sender: str | None, recipients: tuple[str, ...]) -> bool:
        """Whether an occasion is of the kind that is to be counted."""
        if self.peer is not None and not in_networks(peer, (self.peer,)):
            return False
        if self.sender is not None and not (
            sender == "" if self.sender == "" else sender and same_address(self.sender, sender)
        ):
            return False
        wanted = self.recipient
        return wanted is None or any(same_address(wanted, one) for one in recipients)


ALWAYS = Select()


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all faults."""

    @property
    def kind(self) -> str:
        """The fault's name."""
        return str(self.__struct_config__.tag)

    @property
    def selected(self) -> Select:
        """Its selector; one that has none strikes always."""
        select = getattr(self, "select", ALWAYS)
        return select if isinstance(select, Select) else ALWAYS

    def selectors(self) -> frozenset[str]:
        """The fields of Select that mean something to it."""
        return frozenset()


class AtVerb(Fault, frozen=True):
    """Base of what strikes at one point of the session."""

    verb: Verb

    def selectors(self) -> frozenset[str]:
        return _COUNTS | _KNOWN_AT[self.verb]


class PerSession(Fault, frozen=True):
    """Base of what only the peer can select."""

    def selectors(self) -> frozenset[str]:
        return _COUNTS | _PEER


# --- SMTP: strike where the server would have said yes -------------------------------------------


class ReplyWith(AtVerb, frozen=True, tag="reply"):
    """This 4yz or 5yz reply in the place of the positive one; nothing of the command is done.

    421 (RFC 5321 §3.8), and any code at CONNECT, ends the connection. `enhanced` is X.0.0 where it
    is not given; in a greeting and in answer to EHLO there is none then (RFC 2034 §4).
    """

    code: Code
    enhanced: Enhanced = ""
    text: Words = "refused by a fault of the lab"
    select: Select = ALWAYS


class Delay(AtVerb, frozen=True, tag="delay"):
    """Real seconds before the reply at a verb; at DOT the message is accepted before them.

    Who waits when this, a tarpit or latency is cleared gets the reply then.
    """

    seconds: Seconds
    select: Select = ALWAYS


class Tarpit(PerSession, frozen=True, tag="tarpit"):
    """Real seconds before every reply, the greeting included."""

    seconds: Seconds
    select: Select = ALWAYS


class Latency(PerSession, frozen=True, tag="latency"):
    """As a tarpit, for a slow network: real seconds on top of any other delay."""

    seconds: Seconds
    select: Select = ALWAYS


class Greylist(Fault, frozen=True, tag="greylist"):
    """451 4.7.1 to RCPT until `seconds` of lab time have passed since the first try of the same
    peer network (/24, /64), sender and recipient (RFC 6647). Peers in `exempt` are let through."""

    seconds: Seconds
    exempt: tuple[str, ...] = ()
    select: Select = ALWAYS

    def __post_init__(self) -> None:
        for network in self.exempt:
            ipaddress.ip_network(network)

    def selectors(self) -> frozenset[str]:
        return _KNOWN_AT["RCPT"]


class Refuse(Fault, frozen=True, tag="refuse"):
    """The listener is closed, the host is up: a connection is refused at once."""


class Reset(AtVerb, frozen=True, tag="reset"):
    """RST in the place of the reply at a verb; at DOT the message is not accepted."""

    select: Select = ALWAYS


class Cut(PerSession, frozen=True, tag="cut"):
    """RST once a session has brought more than `after` bytes; those beyond are not read."""

    after: Annotated[int, msgspec.Meta(ge=0)]
    select: Select = ALWAYS


class LoseAck(Fault, frozen=True, tag="lose-ack"):
    """The message is durable, then the connection is closed without the final reply."""

    select: Select = ALWAYS

    def selectors(self) -> frozenset[str]:
        return _COUNTS | _KNOWN_AT["DOT"]


class SlowClose(PerSession, frozen=True, tag="slow-close"):
    """QUIT is answered, and the connection stays open for so many real seconds."""

    seconds: Seconds
    select: Select = ALWAYS


class Bandwidth(PerSession, frozen=True, tag="bandwidth"):
    """The most that is read from a client, in bytes per real second."""

    rate: Count
    select: Select = ALWAYS


class TlsBroken(PerSession, frozen=True, tag="tls-broken"):
    """STARTTLS goes wrong: with the given certificate and key (PEM; the lab makes them expired, or
    for another name), or by a reset when the client begins the handshake."""

    how: Literal["expired", "wrong-name", "handshake-cut"]
    certificate: str = ""
    key: str = ""
    select: Select = ALWAYS


# --- the disk ------------------------------------------------------------------------------------


class MailboxFull(Fault, frozen=True, tag="mailbox-full"):
    """Delivery to the mailbox of `address` is answered 452 4.2.2: it stays in the queue."""

    address: Text
    select: Select = ALWAYS

    def selectors(self) -> frozenset[str]:
        return _COUNTS


class DiskFull(Fault, frozen=True, tag="disk-full"):
    """No new message fits into the spool or a mailbox: 452 4.3.1 to the final dot."""


class ReadOnly(Fault, frozen=True, tag="read-only"):
    """Spool and mailboxes cannot be written: 451 4.3.0 to the final dot."""


# --- DNS: one occasion is one query, each try of a resolver's is one -----------------------------


class DnsFault(Fault, frozen=True):
    """Base of the DNS faults. Strikes questions for `name`."""

    name: Text

    def selectors(self) -> frozenset[str]:
        return _COUNTS | _PEER


class ForType(DnsFault, frozen=True):
    """Base of those for a type ("" is any), and where `subdomains`, for all names below too."""

    type: str = ""
    subdomains: bool = False


class Nxdomain(ForType, frozen=True, tag="dns-nxdomain"):
    """There is no such name (RFC 2308 §2.1)."""

    select: Select = ALWAYS


class Servfail(ForType, frozen=True, tag="dns-servfail"):
    """SERVFAIL: a temporary failure."""

    select: Select = ALWAYS


class DnsRefused(ForType, frozen=True, tag="dns-refused"):
    """REFUSED, as by a server that does not have the zone."""

    select: Select = ALWAYS


class DnsTimeout(ForType, frozen=True, tag="dns-timeout"):
    """No answer."""

    select: Select = ALWAYS


class DnsDelay(ForType, frozen=True, kw_only=True, tag="dns-delay"):
    """The answer comes so many real seconds late."""

    seconds: Seconds
    select: Select = ALWAYS


class DnsTruncate(ForType, frozen=True, tag="dns-truncate"):
    """By UDP an empty answer with TC; by TCP the whole (RFC 2181 §9)."""

    select: Select = ALWAYS


class DnsStale(ForType, frozen=True, tag="dns-stale"):
    """Answers from the zones as they were when the fault was set."""

    select: Select = ALWAYS


class SwappedMx(DnsFault, frozen=True, tag="dns-swapped-mx"):
    """The two exchanges of the domain `name` have each other's preference."""

    exchanges: tuple[Text, Text]
    select: Select = ALWAYS


class WrongMx(DnsFault, frozen=True, tag="dns-wrong-mx"):
    """The MX records of `name`, or the one with `instead_of`, name another exchange."""

    exchange: Text
    instead_of: str = ""
    select: Select = ALWAYS


class NullMx(DnsFault, frozen=True, tag="dns-null-mx"):
    """The domain `name` accepts no mail (RFC 7505)."""

    select: Select = ALWAYS


class MxWithoutAddress(DnsFault, frozen=True, tag="dns-mx-without-address"):
    """The exchange `name` has neither A nor AAAA, though it exists."""

    select: Select = ALWAYS


MtaFault = (
    ReplyWith | Delay | Tarpit | Latency | Greylist | Refuse | Reset | Cut | LoseAck | SlowClose
    | Bandwidth | TlsBroken | MailboxFull | DiskFull | ReadOnly
)  # fmt: skip
ZoneFault = (
    Nxdomain | Servfail | DnsRefused | DnsTimeout | DnsDelay | DnsTruncate | DnsStale | SwappedMx
    | WrongMx | NullMx | MxWithoutAddress
)  # fmt: skip
AnyFault = MtaFault | ZoneFault


def problem(fault: AnyFault) -> str | None:
    """What is wrong with a fault, wherever it came from; None if it can be set as it stands."""
    try:
        msgspec.convert(msgspec.to_builtins(fault), AnyFault)
    except msgspec.ValidationError as error:
        return f"{fault.kind}: {error}"
    pointless = sorted(fault.selected.used() - fault.selectors())
    if pointless:
        where = f" at {fault.verb}" if isinstance(fault, AtVerb) else ""
        return f"{fault.kind}{where} cannot be selected by `{'`, `'.join(pointless)}`"
    if isinstance(fault, ReplyWith) and fault.enhanced[:1] not in ("", str(fault.code)[0]):
        return f"reply: {fault.code} and {fault.enhanced} are of different classes (RFC 3463 §2)"
    if isinstance(fault, TlsBroken):
        given = bool(fault.certificate), bool(fault.key)
        if given != (fault.how != "handshake-cut",) * 2:
            return "tls-broken: certificate and key are for expired and wrong-name, which need both"
    return None


def same_address(wanted: str, address: str) -> bool:
    """Whether `address` is `wanted`, or is at the domain that `wanted` (`@domain`) names."""
    if wanted.startswith("@"):
        return domain_of(address) == domain_of(wanted)
    return canonical(address) == canonical(wanted)


def in_networks(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an IP address lies in one of the networks; what is no address lies in none."""
    try:
        here = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(here in ipaddress.ip_network(network) for network in networks)
