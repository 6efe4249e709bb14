"""A connection on which mail is handed in (RFC 6409): TLS that is verified, then AUTH (RFC 4954).

Guarantee: no password, nor what is made of one, goes anywhere but into TLS whose certificate is
good for the server; in the dialog stands none. What goes wrong is a value: NoSession.
"""

import hashlib
import re
import ssl
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from mxlab_services.config import SubmissionConfig
from mxlab_services.queue.live import LiveConfig
from mxlab_services.reply import Reply
from mxlab_services.smtp.client.connect import Connector, NoSession
from mxlab_services.smtp.client.connection import ClientSession
from mxlab_services.smtp.client.dialog import Dialog
from mxlab_services.smtp.sasl import MECHANISMS, decoded, encoded, mac, prepared, salted

HIDDEN = "(not shown)"
_MOST_ITERATIONS = 1_000_000  # of SCRAM, which a server may ask for
_SERVER_FIRST = re.compile(r"(r=([!-+\--~]+),s=([^,]+),i=(\d{1,7}))(?:,.*)?")


class Credentials(Struct, frozen=True):
    """How to come in. `user`: None without AUTH; `mechanism`: None for the best that is offered;
    `implicit`: TLS begins at once (RFC 8314); without `tls` there is none at all."""

    user: str | None = None
    password: str = ""
    mechanism: str | None = None
    implicit: bool = False
    tls: bool = True


class SaslClient(Protocol):
    """One authentication as the client: an initial response, then one for each challenge."""

    def first(self) -> bytes | None: ...

    def answer(self, challenge: bytes) -> bytes:
        """Raises ValueError where the challenge is none of this mechanism, or the server is not
        who knows the password."""
        ...


class PlainClient:
    """PLAIN (RFC 4616)."""

    def __init__(self, user: str, password: str, nonce: str) -> None:
        self._response = f"\0{user}\0{password}".encode()

    def first(self) -> bytes:
        return self._response

    def answer(self, challenge: bytes) -> bytes:
        return self._response


class LoginClient:
    """LOGIN, never a standard: the name, then the password, whatever the server asks."""

    def __init__(self, user: str, password: str, nonce: str) -> None:
        self._left = [password.encode(), user.encode()]

    def first(self) -> None:
        return None

    def answer(self, challenge: bytes) -> bytes:
        if not self._left:
            raise ValueError("it asks for more than a name and a password")
        return self._left.pop()


class ScramClient:
    """SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding."""

    def __init__(self, user: str, password: str, nonce: str) -> None:
        """Raises ValueError for a name or a password that cannot be (RFC 4013)."""
        name = prepared(user).replace("=", "=3D").replace(",", "=2C")
        self._password, self._nonce = prepared(password), nonce
        self._bare = f"n={name},r={nonce}"
        self._signature = b""
        self._known = False

    def first(self) -> bytes:
        return f"n,,{self._bare}".encode()

    def answer(self, challenge: bytes) -> bytes:
        if not self._signature:
            return self._proof(challenge.decode("utf-8", "replace"))
        if self._known or challenge != f"v={encoded(self._signature)}".encode():
            raise ValueError("the server does not know the password itself")
        self._known = True
        return b""

    def _proof(self, said: str) -> bytes:
        match = _SERVER_FIRST.fullmatch(said)
        salt = decoded(match[3].encode()) if match else None
        if match is None or not salt or not match[2].startswith(self._nonce):
            raise ValueError("that is no challenge of SCRAM")
        if not 1 <= (iterations := int(match[4])) <= _MOST_ITERATIONS:
            raise ValueError(f"it asks for {iterations} iterations")
        secret = salted(self._password, salt, iterations)
        final = f"c=biws,r={match[2]}"  # biws: `n,,`, no channel binding
        message = f"{self._bare},{match[1]},{final}".encode()
        key = mac(secret, b"Client Key")
        signature = mac(hashlib.sha256(key).digest(), message)
        self._signature = mac(mac(secret, b"Server Key"), message)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return f"{final},p={encoded(proof)}".encode()


CLIENTS: dict[str, Callable[[str, str, str], SaslClient]] = {
    "SCRAM-SHA-256": ScramClient,
    "PLAIN": PlainClient,
    "LOGIN": LoginClient,
}


class SubmissionConnector(Connector):
    """Opens connections to the submission server that `wanted` describes: this node's own."""

    def __init__(
        self,
        live: LiveConfig,
        leave: Callable[[ClientSession], None],
        wanted: SubmissionConfig,
        nonce: Callable[[], str],
    ) -> None:
        super().__init__(live, leave)
        self._wanted, self._nonce = wanted, nonce
        self._trusts = ssl.create_default_context(cadata=wanted.tls.ca)

    async def enter(self, given: Credentials, dialog: Dialog) -> ClientSession | NoSession:
        """Up to the point where MAIL can be sent. Writes the conversation to `dialog`."""
        host, address = self._config.hostname, self._config.address
        wanted, at_once = self._wanted, given.implicit and given.tls
        port = wanted.tls_port if given.implicit else wanted.port
        session = await self._connect(
            host, address, dialog, port, self._trusts if at_once else None
        )
        if isinstance(session, NoSession):
            return session
        try:
            if at_once:
                session.note_tls(host)
            failure = await self._greet(session)
            if failure is None and given.tls and not at_once:
                failure = await self._secured(session, host)
            if failure is None and given.user is not None:
                failure = await self._authenticated(session, given, given.user)
        except BaseException:
            session.abort()
            raise
        return failure or session

    async def _secured(self, session: ClientSession, host: str) -> NoSession | None:
        if "starttls" not in session.extensions:
            self._leave(session)
            return NoSession("starttls", Reply(0, "", "no STARTTLS is offered, and TLS is wanted"))
        why = await session.upgrade(self._trusts, host, self._times.starttls)
        if why:
            self._leave(session)
            code = int(why[:3]) if re.match(r"[45]\d\d ", why) else 0
            return NoSession("starttls", Reply(code, "", why[4:] if code else f"no TLS: {why}"))
        return await self._hello(session)

    async def _authenticated(
        self, session: ClientSession, given: Credentials, user: str
    ) -> NoSession | None:
        offered = session.extensions.get("auth", "").upper().split()
        best = next((name for name in MECHANISMS if name in offered), MECHANISMS[0])
        name = given.mechanism or best
        try:
            exchange = CLIENTS[name](user, given.password, self._nonce())
            reply = await self._converse(session, name, exchange, secret=given.tls)
        except ValueError as error:
            reply = Reply(0, "", f"AUTH {name}: {error}")
        if reply.code // 100 == 2:
            return None
        self._leave(session)
        return NoSession("auth", reply)

    async def _converse(
        self, session: ClientSession, name: str, exchange: SaslClient, *, secret: bool
    ) -> Reply:
        """Without TLS (`secret` is false) nothing is told but the mechanism's name, to hear what
        the server says. Raises ValueError where the server is not to be trusted."""
        first = exchange.first() if secret else None
        command = f"AUTH {name}"
        if first is None:
            session.send([command])
        else:
            session.send_secret(f"{command} {encoded(first) or '='}", f"{command} {HIDDEN}")
        while (reply := await self._auth_reply(session)).code == 334:
            challenge = decoded(reply.text.encode("utf-8", "replace"))
            try:
                if not secret or challenge is None:
                    raise ValueError("no TLS, so no password" if not secret else "no base64")
                response = exchange.answer(challenge)
            except ValueError:
                session.send(["*"])
                await self._auth_reply(session)
                raise
            session.send_secret(encoded(response), HIDDEN)
        return reply

    async def _auth_reply(self, session: ClientSession) -> Reply:
        return await session.reply(self._times.mail, "AUTH")
