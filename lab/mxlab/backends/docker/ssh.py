"""An engine behind ssh:// as a local socket.

Each connection to it is a `docker system dial-stdio` on the other machine, all by way of one ssh
that logged in once.

The docker SDK's own way there starts and authenticates an ssh for every connection, and cannot end
a stream.
"""

import contextlib
import shlex
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

from mxlab.errors import NoEngine

CONNECT_SECONDS = 30  # for ssh to log in, a passphrase typed included
IDLE_SECONDS = 60  # after which ssh leaves by itself, should mxlab be killed
_DIAL = ("docker", "system", "dial-stdio")


class Tunnel:
    """A socket at `url` behind which the engine of another machine answers."""

    def __init__(self, url: str) -> None:
        """Log in. Raises NoEngine with ssh's own words."""
        self._folder = tempfile.TemporaryDirectory(prefix="mxlab-ssh-")
        try:
            self._ssh = ("ssh", "-S", str(Path(self._folder.name, "control")))
            self._host = _host(url)
            self._log_in(url)
            self._server = socket.socket(socket.AF_UNIX)
            path = str(Path(self._folder.name, "docker.sock"))
            self._server.bind(path)
            self._server.listen()
        except BaseException:
            self._folder.cleanup()
            raise
        self.url = f"unix://{path}"
        threading.Thread(target=self._serve, daemon=True, name="mxlab-ssh").start()

    def close(self) -> None:
        """Log out; connections that are open still are cut."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._server.close()
        self._run("-O", "exit", *self._host)
        self._folder.cleanup()

    def _log_in(self, url: str) -> None:
        options = ("-M", "-N", "-f", "-o", f"ControlPersist={IDLE_SECONDS}")
        problem = self._run(*options, *self._host)
        if problem:
            raise NoEngine(
                f"there is no way to the Docker engine at {url}: {problem}",
                f"see that `ssh {shlex.join(self._host)} docker version` works",
            )

    def _run(self, *arguments: str) -> str:
        """Run ssh; returns why it failed, or nothing. Its prompts go to the terminal."""
        # Not to a pipe: the ssh that stays in the background would keep that open.
        with tempfile.TemporaryFile() as said:
            try:
                done = subprocess.run(
                    [*self._ssh, *arguments],
                    check=False, stdout=subprocess.DEVNULL, stderr=said, timeout=CONNECT_SECONDS,
                )  # fmt: skip
            except FileNotFoundError:
                return "the program ssh is not installed"
            except subprocess.TimeoutExpired:
                return f"no answer within {CONNECT_SECONDS} s"
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip().splitlines()
        return (words[-1] if words else "ssh failed") if done.returncode else ""

    def _serve(self) -> None:
        """Give each connection to an ssh of its own, which speaks on it directly."""
        dial = [*self._ssh, "-T", "-o", "BatchMode=yes", *self._host, "--", *_DIAL]
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # closed
                return
            with connection:
                end = connection.fileno()
                speaker = subprocess.Popen(dial, stdin=end, stdout=end, stderr=subprocess.DEVNULL)
            threading.Thread(target=speaker.wait, daemon=True, name="mxlab-ssh-wait").start()


def _host(url: str) -> tuple[str, ...]:
    """The host as ssh's arguments. Raises NoEngine for an address that is none."""
    try:
        parts = urlsplit(url)
        user, host, port = parts.username or "", parts.hostname or "", parts.port
    except ValueError:  # a port that is none
        user = host = ""
        port = None
    if not host or host.startswith("-") or user.startswith("-"):
        raise NoEngine(
            f"{url!r} is no address of a Docker engine", "write ssh://user@host or ssh://host:port"
        )
    return (*(("-l", user) if user else ()), *(("-p", str(port)) if port else ()), host)
