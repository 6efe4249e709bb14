"""A session of submission (RFC 6409): TLS first (RFC 3207, RFC 8314), then AUTH (RFC 4954).

Guarantee: nothing is submitted by a client that did not authenticate itself within TLS, nor from an
address that is not the user's where the configuration says whose it is; and what a client said to
authenticate itself goes to no event, no log and no reply.
"""

import random
from typing import ClassVar

from mxlab_services.clock import Clock, rfc5322_date
from mxlab_services.config import SubmissionConfig
from mxlab_services.errors import ConfigError
from mxlab_services.faults.base import same_address
from mxlab_services.ids import Ids
from mxlab_services.message import header_block
from mxlab_services.reply import Reply
from mxlab_services.smtp import commands
from mxlab_services.smtp.sasl import decoded, encoded, prepared
from mxlab_services.smtp.server import auth
from mxlab_services.smtp.server.listener import server_context
from mxlab_services.smtp.server.session import VERBS, ServerSession, Sessions

FAILURES = 3  # wrong passwords in a session, before 421
LINE = 12288  # octets of a response, with its CRLF (RFC 4954 §4)
_BEFORE_TLS = ("EHLO", "HELO", "NOOP", "QUIT", "STARTTLS", "AUTH", "RSET", "HELP")
_SECURE_FIRST = "530 5.7.0 Must issue a STARTTLS command first"


class SubmissionDesk:
    """What the sessions of a submission server share."""

    def __init__(
        self, config: SubmissionConfig, hostname: str, rng: random.Random, clock: Clock, ids: Ids
    ) -> None:
        """Raises ConfigError for a user that cannot be."""
        try:
            self.users = auth.Users(config.users, rng)
            self._senders = {prepared(user): own for user, own in config.senders.items()}
        except ValueError as error:
            raise ConfigError(f"configuration: `submission.users`: {error}") from error
        self.tls = server_context(config.tls.certificate, config.tls.key)
        self._hostname, self._clock, self._ids = hostname, clock, ids

    def may_use(self, user: str, sender: str) -> bool:
        """Whether that is an address of the user's (RFC 6409 §6.1). Who has none named may use any,
        and everybody the null one."""
        own = self._senders.get(user)
        return own is None or not sender or any(same_address(one, sender) for one in own)

    def completed(self, content: bytes) -> bytes:
        """The content with the Date and the Message-ID that it lacks (RFC 6409 §8.2, §8.3)."""
        head = b"" if content.startswith(b"\r\n") else header_block(content)
        names = {line.partition(b":")[0].rstrip(b" \t").lower() for line in head.split(b"\r\n")}
        fields = ""
        if b"date" not in names:
            fields += f"Date: {rfc5322_date(self._clock.time())}\r\n"
        if b"message-id" not in names:
            fields += f"Message-ID: <{self._ids.token()}@{self._hostname}>\r\n"
        if not fields:
            return content
        first = head.partition(b"\r\n")[0].partition(b":")
        is_header = not head or (bool(first[1]) and b" " not in first[0].rstrip(b" \t"))
        return fields.encode() + (b"" if is_header else b"\r\n") + content


class SubmissionSession(ServerSession):
    """One session. `implicit`: TLS begins before the greeting (port 465)."""

    absent: ClassVar[tuple[str, ...]] = tuple(v for v in ServerSession.absent if v != "AUTH")

    def __init__(self, edge: Sessions, desk: SubmissionDesk, *, implicit: bool) -> None:
        self._desk = desk
        self._failures = 0
        super().__init__(edge)
        self.tls = desk.tls
        self.implicit = implicit

    def begun(self) -> None:
        super().begun()
        self._user: str | None = None

    def named(self, verb: str) -> str:
        """A word that is no command may be the password of a client that is out of step."""
        return verb if verb in VERBS else "unknown"

    async def obey(self, verb: str, argument: str) -> str:
        if not self.encrypted and verb in VERBS and verb not in _BEFORE_TLS:
            return _SECURE_FIRST
        return await super().obey(verb, argument)

    def extensions(self) -> list[str]:
        offered = [f"AUTH {' '.join(auth.MECHANISMS)}"] if self.encrypted else []
        return [*super().extensions(), *offered]

    def judge(self, recipient: str) -> Reply | None:
        return self._edge.policy.judge(recipient, self.peer, trusted=True)

    def protocol(self, smtputf8: bool) -> str:
        """With the A that RFC 3848 has for those who are known."""
        return super().protocol(smtputf8) + ("A" if self._extended else "")

    def completed(self, content: bytes) -> bytes:
        return self._desk.completed(content)

    async def on_mail(self, argument: str) -> str:
        if self._user is None:
            return "530 5.7.0 Authentication required"
        return await super().on_mail(argument)

    def parse_mail(self, argument: str) -> commands.MailFrom | Reply:
        mail = commands.mail_from(argument, extended=self._extended, auth=True)
        if isinstance(mail, Reply) or self._desk.may_use(self._user or "", mail.sender):
            return mail
        return Reply(550, "5.7.1", f"<{mail.sender}> is no address of yours")

    async def on_auth(self, argument: str) -> str:
        """RFC 4954 §4."""
        name, _, initial = argument.partition(" ")
        if not self._extended:
            return "503 5.5.1 send EHLO first"
        if self._user is not None:
            return "503 5.5.1 authenticated already"
        if self._mail is not None:
            return "503 5.5.1 not within a transaction"
        if not self.encrypted:
            return "538 5.7.11 Encryption required: STARTTLS first"
        if not name:
            return "501 5.5.4 syntax: AUTH mechanism [initial-response]"
        make = auth.MECHANISMS.get(name.upper())
        if make is None:
            return "504 5.5.4 that mechanism is not offered"
        return await self._converse_with(make(self._desk.users), initial.strip())

    async def _converse_with(self, exchange: auth.SaslExchange, initial: str) -> str:
        response: bytes | None = None
        if initial:
            # `=` is an initial response that is empty.
            response = b"" if initial == "=" else decoded(initial.encode("utf-8", "replace"))
            if response is None:
                return "501 5.5.2 that is no base64"
        while True:
            outcome = exchange.step(response)
            if not isinstance(outcome, auth.Challenge):
                return self._concluded(outcome)
            await self.say(f"334 {encoded(outcome.data)}")
            line = await self.line()
            if not line or len(line) > LINE:
                return "500 5.5.6 the response is too long"
            text = line.removesuffix(b"\n").removesuffix(b"\r")
            if text == b"*":
                return "501 5.7.0 authentication cancelled"
            response = decoded(text)
            if response is None:
                return "501 5.5.2 that is no base64"

    def _concluded(self, outcome: auth.Granted | auth.Denied) -> str:
        if isinstance(outcome, auth.Granted):
            if (struck := self._struck("AUTH")) is not None:
                return struck
            self._user = outcome.user
            return "235 2.7.0 Authentication successful"
        if outcome.malformed:
            return "501 5.5.2 that is no response of this mechanism"
        self._failures += 1
        if self._failures >= FAILURES:
            self.closing = True
            return "421 4.7.0 too many failed authentications"
        return "535 5.7.8 Authentication credentials invalid"
