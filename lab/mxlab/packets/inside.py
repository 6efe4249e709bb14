"""What was said inside TLS, as TLS: anew, with keys made for it, which the file has with it.

The record has what was said, not how it was encrypted. So both ends of a TLS connection are made
here, in memory, with a certificate of their own, and say it again: the file shows on the wire what
a listener would see, and whoever opens it reads the inside by the keys. Handshakes and keys are as
random as they are everywhere, so two captures of one record differ in these bytes.
"""

import ssl
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from mxlab.plan.tls import Authority

Turn = tuple[Literal["client", "server"], bytes]


class InsideTls:
    """A TLS connection. Call `handshake`, then `wrap`; or `hello` alone."""

    def __init__(self, client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
        self._pipes = {side: (ssl.MemoryBIO(), ssl.MemoryBIO()) for side in ("client", "server")}
        self._ends = {
            "client": client.wrap_bio(*self._pipes["client"], server_hostname=name),
            "server": server.wrap_bio(*self._pipes["server"], server_side=True),
        }

    def hello(self) -> bytes:
        """The client's first words, of a handshake that came to nothing."""
        self._shake("client")
        return self._pipes["client"][1].read()

    def handshake(self) -> list[Turn]:
        """All of it, in turns."""
        turns: list[Turn] = []
        done = {"client": False, "server": False}
        while True:
            moved = False
            for side, other in (("client", "server"), ("server", "client")):
                done[side] = done[side] or self._shake(side)
                if data := self._pipes[side][1].read():
                    self._pipes[other][0].write(data)
                    turns.append((side, data))  # type: ignore[arg-type]
                    moved = True
            if all(done.values()) and not moved:
                return turns

    def wrap(self, side: str, data: bytes) -> bytes:
        """What the data are on the wire."""
        self._ends[side].write(data)
        return self._pipes[side][1].read()

    def _shake(self, side: str) -> bool:
        try:
            self._ends[side].do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True


class TlsKeys:
    """Makes TLS connections, and has the keys of all that it made. A context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mxlab-keys-")
        self._log = Path(self._folder.name, "keys")
        self._contexts: dict[tuple[str, str], tuple[ssl.SSLContext, ssl.SSLContext]] = {}
        self._authority: Authority | None = None
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def connection(self, name: str, version: str) -> InsideTls:
        """A connection with the server of that name, in that version of TLS (`TLSv1.3`)."""
        if (name, version) not in self._contexts:
            self._contexts[name, version] = self._made(name, version)
        return InsideTls(*self._contexts[name, version], name)

    def fresh(self) -> bytes:
        """The keys since the last time, as a key log."""
        if not self._log.exists():
            return b""
        with self._log.open("rb") as file:
            file.seek(self._read)
            fresh = file.read()
        self._read += len(fresh)
        return fresh

    def _made(self, name: str, version: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        self._authority = self._authority or Authority("record")
        issued = self._authority.issue([name])
        client = ssl.create_default_context(cadata=issued.ca)
        client.check_hostname = False  # an address may stand for a name; nobody is deceived here
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        if version == "TLSv1.2":
            client.maximum_version = ssl.TLSVersion.TLSv1_2
        chain = Path(self._folder.name, "chain.pem")
        chain.write_text(issued.certificate + issued.key)
        server.load_cert_chain(chain)
        client.keylog_filename = str(self._log)
        return client, server
