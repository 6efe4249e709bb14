"""A stream that is stopped leaves the other calls' connections alone."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

import pytest

from mxlab.backends.docker.engine import connect

SECONDS = 10
EVENT = b'{"Type":"container"}\n'


class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str) -> None:
        super().__init__(path, Answers)
        self.end = threading.Event()  # end the stream of events in good order
        self.ended = threading.Event()


class Answers(BaseHTTPRequestHandler):
    """An engine that tells of one event and of its version."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.send_response(200)
        if "/events" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(EVENT), EVENT))
            self.server.end.wait(SECONDS)
            self.wfile.write(b"0\r\n\r\n")
            self.server.ended.set()
        else:
            answer = b'{"ApiVersion": "1.41"}'
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def address_string(self) -> str:
        return "-"

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    path = str(tmp_path / "engine.sock")
    server = Server(path)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    yield server
    server.end.set()
    server.shutdown()
    server.server_close()


async def test_a_stream_that_ends_while_it_is_stopped_spoils_no_later_call(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection would go back to those that wait for the next call, and be closed there."""
    plain = socket.socket.shutdown

    def shut(sock: socket.socket, how: int) -> None:
        if threading.current_thread().name == "mxlab-docker":
            server.end.set()
            server.ended.wait(SECONDS)
            for thread in threading.enumerate():  # the stream's reader sees the end, and ends
                if thread.name == "mxlab-docker" and thread is not threading.current_thread():
                    thread.join(SECONDS)
        plain(sock, how)

    monkeypatch.setattr(socket.socket, "shutdown", shut)
    engine = await connect()
    try:
        for _ in range(3):
            server.end.clear()
            server.ended.clear()
            async with engine.stream("tell", lambda api: api.events(decode=True)) as events:
                assert await anext(events) == {"Type": "container"}
            assert server.ended.is_set()
            found = await engine.call("say its version", lambda api: api.version())
            assert found == {"ApiVersion": "1.41"}
    finally:
        engine.close()
