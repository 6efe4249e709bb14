"""How a sender gets its SMTP connections: opens them, with TLS where it can be had, and keeps idle
ones for the next message to the same host.

What goes wrong is a value: NoSession with the stage and the reply (code 0 where there was none).
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from mxlab_services.config import Timeouts
from mxlab_services.errors import ConfigError
from mxlab_services.ip import ip_address
from mxlab_services.queue.live import LiveConfig
from mxlab_services.reply import Reply
from mxlab_services.smtp.client.aiosmtplib_adapter import parse_esmtp_extensions
from mxlab_services.smtp.client.connection import ClientSession, as_reply
from mxlab_services.smtp.client.dialog import Dialog
from mxlab_services.smtp.read_buffer import read_buffer

IDLE = 2.0  # real seconds that a connection is kept without work (Postfix's habit)
MESSAGES = 100  # taken by one connection

Key = tuple[str, str]  # host and address


class NoSession(Struct, frozen=True):
    """No host to talk to: the last `stage` reached, and what was said or happened there."""

    stage: Literal["connect", "greeting", "ehlo", "starttls", "auth"]
    reply: Reply


class Connector:
    """Opens connections up to the point where MAIL can be sent.

    STARTTLS is opportunistic (RFC 7435): where the lab's CA is configured and the host offers it.
    If the certificate cannot be verified, a new connection goes on without TLS.
    """

    def __init__(self, live: LiveConfig, leave: Callable[[ClientSession], None]) -> None:
        """`leave` says goodbye to a host that will not serve. Raises ConfigError for a bad CA."""
        self._live = live
        self._config = config = live.config
        self._leave = leave
        self._buffer = read_buffer()
        self._tls: ssl.SSLContext | None = None
        if config.tls is not None:
            try:
                self._tls = ssl.create_default_context(cadata=config.tls.ca)
            except ssl.SSLError as error:
                raise ConfigError(f"configuration: `tls.ca`: {error}") from error

    @property
    def _times(self) -> Timeouts:
        return self._live.config.timeouts

    async def open(self, host: str, address: str, dialog: Dialog) -> ClientSession | NoSession:
        """Connect, read the greeting, say EHLO, start TLS. Writes the conversation to `dialog`."""
        session = await self._connect(host, address, dialog)
        if isinstance(session, NoSession):
            return session
        try:
            failure = await self._greet(session)
            if failure is not None:
                return failure
            if self._tls is None or "starttls" not in session.extensions:
                return session
            name = address if host.startswith("[") else host
            why = await session.upgrade(self._tls, name, self._times.starttls)
            if not why:
                # RFC 3207 §4.2: what was offered before TLS does not count
                return await self._hello(session) or session
            if session.usable:
                dialog.append("C: <TLS refused: going on without it>")
                return session
        except asyncio.CancelledError:
            session.abort()
            raise
        dialog.append(f"C: <no TLS: {why}; a new connection without it>")
        return await self._plain(host, address, dialog)

    async def _plain(self, host: str, address: str, dialog: Dialog) -> ClientSession | NoSession:
        session = await self._connect(host, address, dialog)
        if isinstance(session, NoSession):
            return session
        try:
            return await self._greet(session) or session
        except asyncio.CancelledError:
            session.abort()
            raise

    async def _greet(self, session: ClientSession) -> NoSession | None:
        greeting = await session.reply(self._times.greeting, "connecting")
        if greeting.code // 100 == 2:
            return await self._hello(session)
        self._leave(session)
        return NoSession("greeting", greeting)

    async def _connect(
        self,
        host: str,
        address: str,
        dialog: Dialog,
        port: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> ClientSession | NoSession:
        """Connect, to the port for relays unless given; with `tls`, at once within TLS."""
        loop = asyncio.get_running_loop()
        port = port or self._config.smtp_port
        peer = f"{host.strip('[]')}[{address}]:{port}"
        session = ClientSession(self._buffer, peer, dialog)
        within = self._times.connect + (self._times.starttls if tls else 0.0)
        try:
            async with asyncio.timeout(within):
                await loop.create_connection(
                    lambda: session, address, port, local_addr=self._source(address), ssl=tls,
                    server_hostname=host if tls else None,
                )  # fmt: skip
        except TimeoutError:
            why = f"timed out after {within:g} s"
        except OSError as error:
            known = isinstance(error, ssl.SSLError) or not error.errno
            why = _tls_words(error) if known else os.strerror(error.errno or 0)
        else:
            session.note_ports()
            return session
        dialog.over(0, port)
        dialog.append(f"C: <connect to {peer}: {why}>")
        return NoSession("connect", Reply(0, "4.4.1", f"connect to {peer}: {why}"))

    def _source(self, address: str) -> tuple[str, int] | None:
        """This MTA's own address of that family, for the peer to see: local processes share one
        host."""
        for own in map(ip_address, self._config.addresses):
            if own.version == ip_address(address).version and not own.is_unspecified:
                return str(own), 0
        return None

    async def _hello(self, session: ClientSession) -> NoSession | None:
        """EHLO; HELO where EHLO is not understood (RFC 5321 §3.2)."""
        session.extensions = {}
        session.send([f"EHLO {self._config.hostname}"])
        response = await session.response(self._times.helo)
        if response is not None and response.code // 100 == 2:
            session.extensions = parse_esmtp_extensions(response.message)[0]
            return None
        if response is not None and response.code // 100 == 5:
            session.send([f"HELO {self._config.hostname}"])
            response = await session.response(self._times.helo)
            if response is not None and response.code // 100 == 2:
                return None
        self._leave(session)
        return NoSession(
            "ehlo", session.silence("EHLO") if response is None else as_reply(response)
        )


def _tls_words(error: OSError) -> str:
    """What is wrong with TLS, or with what has no number."""
    return getattr(error, "verify_message", "") or str(error) or type(error).__name__


class Pool:
    """Idle connections by host and address, each closed with QUIT after IDLE real seconds."""

    def __init__(self, live: LiveConfig) -> None:
        self._live = live
        self._idle: dict[Key, list[tuple[ClientSession, asyncio.TimerHandle]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def take(self, key: Key) -> ClientSession | None:
        """An idle connection that seems to be alive."""
        waiting = self._idle.get(key, [])
        while waiting:
            session, timer = waiting.pop()
            timer.cancel()
            if session.usable:
                return session
            session.close()
        return None

    def give(self, key: Key, session: ClientSession) -> None:
        """Keep a connection on which no transaction is open, or leave if it has served enough."""
        if not session.usable or session.used >= MESSAGES:
            self.leave(session)
            return
        session.dialog.append("C: <the connection stays open for more>")
        timer = asyncio.get_running_loop().call_later(IDLE, self._expire, key, session)
        self._idle.setdefault(key, []).append((session, timer))

    def leave(self, session: ClientSession) -> None:
        """Send QUIT; its reply is awaited apart, and nobody need wait for it."""
        if session.usable:
            session.send(["QUIT"])
        task = asyncio.get_running_loop().create_task(session.quit(self._live.config.timeouts.quit))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def leave_all(self) -> None:
        """QUIT on all idle connections: who comes next opens a new one."""
        for waiting in self._idle.values():
            for session, timer in waiting:
                timer.cancel()
                self.leave(session)
        self._idle.clear()

    async def close(self) -> None:
        """QUIT on all idle connections and wait until they are closed."""
        self.leave_all()
        while self._leaving:
            await asyncio.wait(self._leaving)

    def _expire(self, key: Key, session: ClientSession) -> None:
        waiting = [entry for entry in self._idle.get(key, []) if entry[0] is not session]
        if waiting:
            self._idle[key] = waiting
        else:
            self._idle.pop(key, None)
        self.leave(session)
