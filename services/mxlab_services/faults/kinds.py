"""The faults that strike inside a node: SMTP and disk faults of an MTA, and DNS faults.

Each is declared here once: a scenario names it by its `kind`, and so does a control request. The
docstrings are what `mxlab` says of them. Pure.

Long: one table of faults, and what makes no sense of them.
"""

import ipaddress
from collections.abc import Collection
from typing import Annotated, Literal

import msgspec

from mxlab_services.address import domain_of
from mxlab_services.faults.base import (
    COUNTS,
    SELECTORS,
    Count,
    Counted,
    FromPeer,
    Host,
    Mechanism,
    NodeFault,
    OfMail,
    Seconds,
    is_host,
)

Verb = Literal["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "DOT"]
"""Where in an SMTP session; EHLO means HELO too, AUTH the end of the authentication (where mail is
handed in), DOT the end of the data."""

Code = Annotated[int, msgspec.Meta(ge=400, le=599)]
Enhanced = Annotated[str, msgspec.Meta(pattern=r"^(|[45]\.\d{1,3}\.\d{1,3})$(?!\n)")]
Words = Annotated[str, msgspec.Meta(pattern=r"^[ -~]*$(?!\n)", max_length=400)]
Text = Annotated[str, msgspec.Meta(min_length=1)]

_KNOWN_LATER = {  # what is not known yet at a verb
    **{verb: {"sender", "recipient"} for verb in ("CONNECT", "EHLO", "STARTTLS", "AUTH")},
    "MAIL": {"recipient"},
}


class AtVerb(OfMail, frozen=True):
    """Base of what strikes at one point of the session."""

    verb: Verb

    def selectors(self) -> frozenset[str]:
        return SELECTORS - _KNOWN_LATER.get(self.verb, set())


# --- SMTP: strike where the server would have said yes -------------------------------------------


class ReplyWith(AtVerb, frozen=True, tag="reply"):
    """This 4yz or 5yz reply at a verb, in the place of the positive one."""

    # Nothing of the command is done. 421 (RFC 5321 §3.8), and any code at CONNECT, ends the
    # connection. `enhanced` is X.0.0 where it is not given; in a greeting and in the reply to EHLO
    # there is none then (RFC 2034 §4).
    code: Code
    enhanced: Enhanced = ""
    text: Words = "refused by a fault of the lab"


class Delay(AtVerb, frozen=True, tag="delay"):
    """The reply at a verb comes so many seconds late."""

    # At DOT the message is accepted before them. Who waits when this, a tarpit or latency is
    # cleared gets the reply then.
    seconds: Seconds


class Tarpit(FromPeer, frozen=True, tag="tarpit"):
    """Every reply comes so many seconds late."""

    seconds: Seconds  # before the greeting too


class Latency(FromPeer, frozen=True, tag="latency"):
    """A slow network, as SMTP sees it: every reply takes so many seconds more."""

    seconds: Seconds  # on top of any other delay


class Greylist(OfMail, frozen=True, tag="greylist"):
    """A first try is answered 451 until so many lab seconds have passed; `exempt` hosts and
    networks pass."""

    # 4.7.1, for the same peer network (/24, /64), sender and recipient (RFC 6647).
    seconds: Seconds
    exempt: tuple[str, ...] = ()

    def selectors(self) -> frozenset[str]:
        return SELECTORS - COUNTS


class Refuse(NodeFault, frozen=True, tag="refuse"):
    """The listener is closed, the host is up: connections are refused at once."""


class Reset(AtVerb, frozen=True, tag="reset"):
    """The connection is reset in the place of the reply at a verb."""

    # At DOT the message is not accepted.


class Cut(FromPeer, frozen=True, tag="cut"):
    """A session that has brought more than `after` bytes is reset."""

    after: Annotated[int, msgspec.Meta(ge=0)]  # those beyond are not read


class LoseAck(OfMail, frozen=True, tag="lose-ack"):
    """The message is taken, and the connection closed without the final reply."""


class SlowClose(FromPeer, frozen=True, tag="slow-close"):
    """After QUIT the connection stays open for so many seconds."""

    seconds: Seconds


class Bandwidth(FromPeer, frozen=True, tag="bandwidth"):
    """No more than `rate` bytes a second are read from a client."""

    rate: Count


class TlsBroken(FromPeer, frozen=True, tag="tls-broken"):
    """STARTTLS goes wrong: an expired certificate, one for another name, or a cut handshake."""

    how: Literal["expired", "wrong-name", "handshake-cut"]

    # A certificate comes with the request that sets it.


# --- the disk ------------------------------------------------------------------------------------


class MailboxFull(Counted, frozen=True, tag="mailbox-full"):
    """Delivery to the mailbox of `address` fails with 452."""

    address: Text  # 4.2.2: the message stays in the queue


class DiskFull(NodeFault, frozen=True, tag="disk-full"):
    """No new message fits: 452 to the final dot."""


class ReadOnly(NodeFault, frozen=True, tag="read-only"):
    """Nothing can be written: 451 to the final dot."""


# --- DNS: one occasion is one query, each try of a resolver's is one -----------------------------


class DnsFault(FromPeer, frozen=True, kw_only=True):
    """Strikes questions for `name`, which is what a plain string gives."""

    short = "name"
    host: Host = "dns"
    name: Text


class ForType(DnsFault, frozen=True, kw_only=True):
    """For questions of one `type` or of any; with `subdomains`, for all names below too."""

    type: str = ""
    subdomains: bool = False


class DnsNxdomain(ForType, frozen=True, tag="dns-nxdomain"):
    """There is no such name."""


class DnsServfail(ForType, frozen=True, tag="dns-servfail"):
    """A temporary failure."""


class DnsRefused(ForType, frozen=True, tag="dns-refused"):
    """The server refuses to answer."""


class DnsTimeout(ForType, frozen=True, tag="dns-timeout"):
    """No answer comes."""


class DnsDelay(ForType, frozen=True, kw_only=True, tag="dns-delay"):
    """The answer comes so many seconds late."""

    seconds: Seconds


class DnsTruncate(ForType, frozen=True, tag="dns-truncate"):
    """By UDP only "truncated", by TCP the whole."""

    # An empty answer with TC (RFC 2181 §9).


class DnsStale(ForType, frozen=True, tag="dns-stale"):
    """The answers of the time at which the fault was set."""


class DnsSwappedMx(DnsFault, frozen=True, kw_only=True, tag="dns-swapped-mx"):
    """Two exchanges have each other's preference."""

    exchanges: tuple[Text, Text]


class DnsWrongMx(DnsFault, frozen=True, kw_only=True, tag="dns-wrong-mx"):
    """The MX records, or the one with `instead_of`, name another exchange."""

    exchange: Text
    instead_of: str = ""


class DnsNullMx(DnsFault, frozen=True, tag="dns-null-mx"):
    """The domain takes no mail (RFC 7505)."""


class DnsMxWithoutAddress(DnsFault, frozen=True, tag="dns-mx-without-address"):
    """The exchange `name` has no address."""

    # Neither A nor AAAA, though the name exists.


MtaFault = (
    ReplyWith | Delay | Tarpit | Latency | Greylist | Refuse | Reset | Cut | LoseAck | SlowClose
    | Bandwidth | TlsBroken | MailboxFull | DiskFull | ReadOnly
)  # fmt: skip
ZoneFault = (
    DnsNxdomain | DnsServfail | DnsRefused | DnsTimeout | DnsDelay | DnsTruncate | DnsStale
    | DnsSwappedMx | DnsWrongMx | DnsNullMx | DnsMxWithoutAddress
)  # fmt: skip
AnyFault = MtaFault | ZoneFault


# Kinds that a node of another product cannot have, and why: refused there, and by the lab before.
NO_PRODUCTS: dict[type[NodeFault], str] = {
    MailboxFull: "it delivers by itself, and nothing makes one of its mailboxes full",
    ReadOnly: "its disk is its own, and nothing makes that read-only while it runs",
}


def problem(mechanism: Mechanism) -> str | None:
    """What is wrong with a fault, wherever it came from; None if it makes sense as it stands."""
    try:
        msgspec.convert(msgspec.to_builtins(mechanism), type(mechanism))
        wrong = _nonsense(mechanism) if isinstance(mechanism, NodeFault) else None
    except msgspec.ValidationError as error:
        wrong = _words(str(error))
    return f"{mechanism.kind}: {wrong}" if wrong else None


def _nonsense(fault: NodeFault) -> str | None:
    used = {name for name in SELECTORS if getattr(fault, name, None) is not None}
    if len(used & COUNTS) > 1:
        return "only one of `first`, `nth` and `chance`"
    if pointless := sorted(used - fault.selectors()):
        where = f" at {fault.verb}" if isinstance(fault, AtVerb) else ""
        return f"its occasions{where} cannot be selected by `{'`, `'.join(pointless)}`"
    for key in ("peer", "exempt"):
        value = getattr(fault, key, None) or ()
        for peer in (value,) if isinstance(value, str) else value:
            try:
                is_host(peer) or ipaddress.ip_network(peer)
            except ValueError as error:
                return f"`{key}`: {error}"
    if isinstance(fault, ReplyWith) and fault.enhanced[:1] not in ("", str(fault.code)[0]):
        return f"{fault.code} and {fault.enhanced} are of different classes (RFC 3463 §2)"
    return None


def misplaced(
    fault: NodeFault,
    node: str,
    mailboxes: Collection[str] | None,
    *,
    tls: bool,
    submission: bool = False,
) -> str | None:
    """Why a node cannot have it; None if it can. `mailboxes`: the domains, folded, whose mailboxes
    are there, None for a DNS server; `tls`: whether the node offers STARTTLS to others;
    `submission`: whether mail can be handed in there, with TLS and AUTH."""
    match fault:
        case _ if mailboxes is None and not isinstance(fault, ZoneFault):
            return f"a DNS server has no {fault.kind} fault: set it at an MTA"
        case _ if mailboxes is not None and not isinstance(fault, MtaFault):
            return f"an MTA has no {fault.kind} fault: set it at dns"
        case MailboxFull(address=address) if domain_of(address) not in (mailboxes or ()):
            return f"{address!r} has no mailbox on {node}"
        case TlsBroken() if not (tls or submission):
            return f"{node} offers no STARTTLS to break"
        case AtVerb(verb="AUTH") if not submission:
            return f"{node} has no AUTH: it is the client's, where the topology has `submission`"
        case _:
            return None


def _words(error: str) -> str:
    """What msgspec says of a value, for people."""
    text, _, path = error.partition(" - at `$.")
    text = text.replace("`int`", "a whole number").replace("`float`", "a number")
    text = text.replace("`str`", "text")
    key = path.rstrip("`")
    return f"`{key}`: {text[0].lower()}{text[1:]}" if key else text
