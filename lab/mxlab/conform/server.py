"""The server under test, as whoever sends mail to it sees it: where it is, and whom it knows."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from mxlab.conform.rule import Judgement, Obstacle, broken, differs, kept
from mxlab.conform.talk import REPLY_SECONDS, ReplySeen, Talk, connected

HELLO = "conform.client.test"
NO_SIGHT = "what becomes of mail cannot be seen from here"


class Arrivals(Protocol):
    """Where mail can be seen that the server has passed on."""

    async def arrived(self, token: str) -> bytes | None:
        """The content of the message with that token, as it came, its dots unstuffed; None: it does
        not come in time."""
        ...


class Passing(Arrivals, Protocol):
    """The same, where what has come is known at any moment."""

    def there(self, token: str) -> bool:
        """Whether it has come by now."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way: `token` is in its Subject, `content` as it is on the wire, its dots
    stuffed, without the last one."""

    token: str
    content: bytes


@dataclass
class TestedServer:
    """`to` is a recipient that it takes, `unknown` one that is not there at a domain of its own.

    `relayed` is a recipient whose mail it passes on to where `sight` sees it; None where nobody
    sees what becomes of mail. `mailbox` likewise sees what is filed for `to`.
    `address`: the one that it calls its own, for address literals. `idle`: the time (real seconds)
    after which it is to leave a silent client, where it was told that. `trusted`: whether it may
    relay for us, as many do for who comes from the loopback network.
    """

    host: str
    port: int
    to: str
    unknown: str | None = None
    sender: str = "alice@client.test"
    relayed: str | None = None
    sight: Passing | None = None
    mailbox: Arrivals | None = None
    address: str | None = None
    idle: float | None = None
    trusted: bool = True
    seconds: float = REPLY_SECONDS
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def domain(self) -> str:
        return self.to.rpartition("@")[2]

    @property
    def seen_to(self) -> str:
        """A recipient whose mail can be seen to arrive, or just one that is taken."""
        return self.relayed or self.to

    @contextlib.asynccontextmanager
    async def talk(self, *, ehlo: bool = True) -> AsyncIterator[Talk]:
        """A session, greeted, and with EHLO said. Raises Obstacle."""
        async with connected(self.host, self.port, self.seconds) as talk:
            await talk.greeted()
            if ehlo:
                await talk.ehlo(HELLO)
            yield talk

    async def begin(self, talk: Talk, *recipients: str, mail: str = "") -> None:
        """MAIL and RCPT (of `to`), each taken. Raises Obstacle."""
        await talk.must(f"MAIL FROM:<{self.sender}>{mail}")
        for recipient in recipients or (self.to,):
            await talk.must(f"RCPT TO:<{recipient}>")

    async def data(self, talk: Talk) -> None:
        """DATA, up to 354. Raises Obstacle."""
        if (answer := await talk.must("DATA")).code != 354:
            raise Obstacle(f"DATA: {answer}")

    async def send(self, talk: Talk, content: bytes, *recipients: str, mail: str = "") -> ReplySeen:
        """One transaction; returns the reply to the final dot. `content` ends with CRLF, its dots
        stuffed. Raises Obstacle."""
        await self.begin(talk, *recipients, mail=mail)
        await self.data(talk)
        await talk.say(content)
        return await talk.ask(".")

    def token(self, what: str) -> str:
        """A word that stands in one message only."""
        return f"conform-{what}-{next(self._numbers)}"

    def letter(self, what: str, body: bytes = b"hello\r\n", head: bytes = b"") -> Letter:
        """A message that can be told from all others."""
        token = self.token(what)
        lines = [
            f"From: <{self.sender}>",
            f"To: <{self.to}>",
            f"Subject: {token}",
            "Date: Fri, 27 Nov 2026 12:00:00 +0000",
            f"Message-ID: <{token}@client.test>",
        ]
        text = "".join(f"{line}\r\n" for line in lines).encode()
        return Letter(token, head + text + b"\r\n" + body)


def refusal(answer: ReplySeen, *codes: int, leave: str = "") -> Judgement:
    """What a reply is that should be one of `codes`: another 5yz differs, and `leave` says what a
    yes means where the standard permits it; else a yes is an offence, as is no reply at all."""
    if answer.code in codes:
        return kept(str(answer))
    if answer.refused:
        return differs(f"{answer}; the code that is named for it is {_either(codes)}")
    if answer.good and leave:
        return differs(f"{answer}: {leave}")
    return broken(str(answer))


def consent(answer: ReplySeen, leave: str = "") -> Judgement:
    """What a reply is that should be a yes; `leave`: why a no is permitted."""
    if answer.good:
        return kept(str(answer))
    return differs(f"{answer}; {leave}") if leave and answer.code else broken(str(answer))


def _either(codes: tuple[int, ...]) -> str:
    return " or ".join(map(str, codes))
