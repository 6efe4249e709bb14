"""The shape of a lab: one mail domain, its exchanges, a DNS server and a client."""

from typing import Annotated, Literal

import msgspec

Host = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z]([a-z0-9-]{0,29}[a-z0-9])?$",
        description="a host's name: at most 31 of a-z, 0-9 and hyphens, a letter first, no hyphen "
        "last",
    ),
]
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
]
Origin = Annotated[  # of a zone: a top-level domain has one too
    str,
    msgspec.Meta(pattern=f"^{_LABELS}*{_LAST}$", max_length=LONGEST_NAME, description=_NAME),
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


class Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One MX host and its preference: the lower, the better (RFC 5321 §5.1).

    `role` says what the host believes to be; None: primary if none has a better preference.
    """

    host: Host
    preference: Preference
    role: Literal["primary", "backup"] | None = None


class Topology(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lab. The exchanges with the lowest preference are primaries, the others backups.

    `recipients` are the addresses that exist at the domain; None takes any. The backups know them
    too, unless `backup_knows_recipients` is false. `schedule` names one of the MTA's retry
    schedules; `jitter` is the share of a wait by which chance may lengthen it, None: the schedule's
    own. With `tls`, every MTA offers and uses STARTTLS with the lab's own CA.
    """

    domain: Domain = "example.test"
    mx: Annotated[tuple[Exchange, ...], msgspec.Meta(min_length=1, max_length=16)] = (
        Exchange("mx1", 10),
        Exchange("mx2", 20),
    )
    client: Host = "client"
    client_domain: Domain = "client.test"
    dns: Host = "dns"
    recipients: tuple[str, ...] | None = None
    backup_knows_recipients: bool = True
    schedule: str = "workshop"
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    tls: bool = False

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

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every node's name: DNS, exchanges in the order given, client."""
        return (self.dns, *(e.host for e in self.mx), self.client)


def is_reserved(domain: str) -> bool:
    """True for names that can never be real (RFC 2606, RFC 6761)."""
    return any(domain == name or domain.endswith("." + name) for name in RESERVED_DOMAINS)
