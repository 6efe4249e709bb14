"""What a resolver answers: a value with a status, never an exception for a DNS failure."""

from typing import Literal, Protocol

from msgspec import Struct

Status = Literal["ok", "nodata", "nxdomain", "servfail", "refused", "timeout"]
TEMPORARY: frozenset[Status] = frozenset(("servfail", "refused", "timeout"))


class Mx(Struct, frozen=True):
    """One MX record (RFC 1035 §3.3.9); `exchange` has no final dot, and is "" for the null MX."""

    preference: int
    exchange: str


class Answer(Struct, frozen=True):
    """The outcome of one lookup.

    `mx` is filled for an MX lookup, `addresses` for A and AAAA, in the order given. `canonical`
    is the name after following CNAMEs (equal to the asked name where there was none). servfail,
    refused and timeout are temporary (RFC 5321 §5.1); nxdomain and nodata are not. `why` explains a
    failure that its status alone does not.
    """

    name: str
    type: str
    status: Status
    canonical: str
    mx: tuple[Mx, ...] = ()
    addresses: tuple[str, ...] = ()
    cached: bool = False
    why: str = ""

    @property
    def temporary(self) -> bool:
        return self.status in TEMPORARY


class Resolver(Protocol):
    """Looks names up for the MTA. `message` names the message on whose behalf, for the events."""

    async def mx(self, name: str, message: str | None = None) -> Answer: ...

    async def addresses(self, name: str, message: str | None = None) -> Answer:
        """A and AAAA together, A first."""
        ...
