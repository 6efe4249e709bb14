"""The faults that strike inside a node, as a scenario names them: SMTP, disk and DNS faults.

Their fields are those of `mxlab_services.faults.kinds`, with the selector's beside them (a test
keeps them the same): on which occasions a fault strikes. Seconds are real ones, but for a
greylist's.
"""

import re
from typing import Annotated, Literal

import msgspec

from mxlab.model.outer import Mechanism
from mxlab.model.topology import Host

Verb = Literal["CONNECT", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "DOT"]

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=604_800)]
Chance = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Code = Annotated[int, msgspec.Meta(ge=400, le=599)]
Enhanced = Annotated[str, msgspec.Meta(pattern=r"^(|[45]\.\d{1,3}\.\d{1,3})$")]
Words = Annotated[str, msgspec.Meta(pattern=r"^[ -~]*$", max_length=400)]


class InnerFault(Mechanism, frozen=True):
    """Base of them all."""

    @property
    def hosts(self) -> tuple[str, ...]:
        named = (getattr(self, "peer", None), *getattr(self, "exempt", ()))
        return (self.host, *(peer for peer in named if peer is not None and is_host(peer)))


def is_host(peer: str) -> bool:
    """Whether a peer is told by its node's name; else it is an address or a network."""
    return re.fullmatch(r"[a-z][a-z0-9-]*", peer) is not None


class Counted(InnerFault, frozen=True, kw_only=True):
    """Strikes on the `first` so many occasions, or on the `nth`, or on each with a `chance`."""

    first: Count | None = None
    nth: Count | None = None
    chance: Chance | None = None


class FromPeer(Counted, frozen=True, kw_only=True):
    """Strikes for a `peer` (a host, an address or a network), or for every one."""

    peer: str | None = None


class OfMail(FromPeer, frozen=True, kw_only=True):
    """Strikes for a `sender` or a `recipient` (an address, or @domain), or for all."""

    sender: str | None = None
    recipient: str | None = None


class Reply(OfMail, frozen=True, kw_only=True):
    """This 4yz or 5yz reply at a verb, in the place of the positive one."""

    kind = "reply"
    verb: Verb
    code: Code
    enhanced: Enhanced = ""
    text: Words = "refused by a fault of the lab"


class Delay(OfMail, frozen=True, kw_only=True):
    """The reply at a verb comes so many seconds late."""

    kind = "delay"
    verb: Verb
    seconds: Seconds


class Tarpit(FromPeer, frozen=True, kw_only=True):
    """Every reply comes so many seconds late."""

    kind = "tarpit"
    seconds: Seconds


class Latency(FromPeer, frozen=True, kw_only=True):
    """A slow network, as SMTP sees it: every reply takes so many seconds more."""

    kind = "latency"
    seconds: Seconds


class Greylist(OfMail, frozen=True, kw_only=True):
    """A first try is answered 451 until so many lab seconds have passed; `exempt` hosts and
    networks pass."""

    kind = "greylist"
    seconds: Seconds
    exempt: tuple[str, ...] = ()


class Refuse(InnerFault, frozen=True):
    """The listener is closed, the host is up: connections are refused at once."""

    kind = "refuse"


class Reset(OfMail, frozen=True, kw_only=True):
    """The connection is reset in the place of the reply at a verb."""

    kind = "reset"
    verb: Verb


class Cut(FromPeer, frozen=True, kw_only=True):
    """A session that has brought more than `after` bytes is reset."""

    kind = "cut"
    after: Annotated[int, msgspec.Meta(ge=0)]


class LoseAck(OfMail, frozen=True, kw_only=True):
    """The message is taken, and the connection closed without the final reply."""

    kind = "lose-ack"


class SlowClose(FromPeer, frozen=True, kw_only=True):
    """After QUIT the connection stays open for so many seconds."""

    kind = "slow-close"
    seconds: Seconds


class Bandwidth(FromPeer, frozen=True, kw_only=True):
    """No more than `rate` bytes a second are read from a client."""

    kind = "bandwidth"
    rate: Count


class TlsBroken(FromPeer, frozen=True, kw_only=True):
    """STARTTLS goes wrong: an expired certificate, one for another name, or a cut handshake."""

    kind = "tls-broken"
    how: Literal["expired", "wrong-name", "handshake-cut"]


class MailboxFull(Counted, frozen=True, kw_only=True):
    """Delivery to the mailbox of `address` fails with 452."""

    kind = "mailbox-full"
    address: str


class DiskFull(InnerFault, frozen=True):
    """No new message fits: 452 to the final dot."""

    kind = "disk-full"


class ReadOnly(InnerFault, frozen=True):
    """Nothing can be written: 451 to the final dot."""

    kind = "read-only"


class DnsMechanism(FromPeer, frozen=True, kw_only=True):
    """Strikes questions for `name`, which is what a plain string gives."""

    short = "name"
    host: Host = "dns"
    name: str


class ForType(DnsMechanism, frozen=True, kw_only=True):
    """For questions of one `type` or of any; with `subdomains`, for all names below too."""

    type: str = ""
    subdomains: bool = False


class DnsNxdomain(ForType, frozen=True):
    """There is no such name."""

    kind = "dns-nxdomain"


class DnsServfail(ForType, frozen=True):
    """A temporary failure."""

    kind = "dns-servfail"


class DnsRefused(ForType, frozen=True):
    """The server refuses to answer."""

    kind = "dns-refused"


class DnsTimeout(ForType, frozen=True):
    """No answer comes."""

    kind = "dns-timeout"


class DnsDelay(ForType, frozen=True, kw_only=True):
    """The answer comes so many seconds late."""

    kind = "dns-delay"
    seconds: Seconds


class DnsTruncate(ForType, frozen=True):
    """By UDP only "truncated", by TCP the whole."""

    kind = "dns-truncate"


class DnsStale(ForType, frozen=True):
    """The answers of the time at which the fault was set."""

    kind = "dns-stale"


class DnsSwappedMx(DnsMechanism, frozen=True, kw_only=True):
    """Two exchanges have each other's preference."""

    kind = "dns-swapped-mx"
    exchanges: tuple[str, str]


class DnsWrongMx(DnsMechanism, frozen=True, kw_only=True):
    """The MX records, or the one with `instead_of`, name another exchange."""

    kind = "dns-wrong-mx"
    exchange: str
    instead_of: str = ""


class DnsNullMx(DnsMechanism, frozen=True):
    """The domain takes no mail (RFC 7505)."""

    kind = "dns-null-mx"


class DnsMxWithoutAddress(DnsMechanism, frozen=True):
    """The exchange `name` has no address."""

    kind = "dns-mx-without-address"
