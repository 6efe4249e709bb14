"""An engine behind ssh://, with a program in the place of ssh that stays on this machine."""

import os
import socket
import stat
import sys
import threading
from pathlib import Path

import pytest

from mxlab.backends.docker.ssh import Tunnel
from mxlab.errors import NoEngine

URL = "ssh://teacher@lab.test:2222"
SSH = f"""#!{sys.executable}
import os, socket, sys, threading
with open(os.environ["SSH_LOG"], "a") as log:
    print(*sys.argv[3:], file=log)
if "-M" in sys.argv and os.environ.get("SSH_FAILS"):
    sys.exit("a warning that nobody minds\\n" + os.environ["SSH_FAILS"])
if "dial-stdio" in sys.argv:
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(os.environ["SSH_LOG"] + ".engine")
    def back():
        while data := engine.recv(4096):
            os.write(1, data)
        os._exit(0)
    threading.Thread(target=back).start()
    while data := os.read(0, 4096):
        engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the program was called with, a line a call; its engine echoes."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    written = tmp_path / "log"
    monkeypatch.setenv("SSH_LOG", str(written))
    engine = socket.socket(socket.AF_UNIX)
    engine.bind(f"{written}.engine")
    engine.listen()

    def echo(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data.upper())

    def serve() -> None:
        while True:
            connection, _ = engine.accept()
            threading.Thread(target=echo, args=[connection], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return written


def dial(url: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(url.removeprefix("unix://"))
    return connection


def test_connections_go_by_one_login_each_with_its_own_end(log: Path) -> None:
    tunnel = Tunnel(URL)
    try:
        with dial(tunnel.url) as one, dial(tunnel.url) as other:
            other.sendall(b"list")
            assert other.recv(10) == b"LIST"
            one.sendall(b"inspect")
            assert one.recv(10) == b"INSPECT"
            other.close()
            one.sendall(b"again")
            assert one.recv(10) == b"AGAIN"
            one.shutdown(socket.SHUT_WR)
            assert one.recv(10) == b""  # the far end ended, and so did ssh
    finally:
        tunnel.close()
    login, *rest = log.read_text().splitlines()
    assert login.startswith("-M -N -f ")
    assert login.endswith("-l teacher -p 2222 lab.test")
    assert rest[-1] == "-O exit -l teacher -p 2222 lab.test"
    assert len(rest) == 3
    assert all(call.endswith("lab.test -- docker system dial-stdio") for call in rest[:-1])
    assert not Path(tunnel.url.removeprefix("unix://")).parent.exists()


def test_a_login_that_fails_is_told_in_the_words_of_ssh(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_FAILS", "Permission denied (publickey).")
    with pytest.raises(NoEngine, match=r"@lab\.test:2222: Permission denied") as caught:
        Tunnel(URL)
    assert caught.value.hint == "see that `ssh -l teacher -p 2222 lab.test docker version` works"


def test_a_machine_without_ssh_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoEngine, match="ssh is not installed"):
        Tunnel(URL)


@pytest.mark.parametrize("url", ["ssh://", "ssh://-oProxyCommand=x", "ssh://host:port"])
def test_an_address_that_is_none_never_reaches_ssh(log: Path, url: str) -> None:
    with pytest.raises(NoEngine, match="is no address"):
        Tunnel(url)
    assert not log.exists()
