"""The state folder: `<state>/mxlab/<lab>`, and below it a folder for each node.

Guarantee: `lab.json` is there before the first process is, whole or not at all; making the folder
is the claim on the lab's name, and its lock is held by whoever is bringing the lab up.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mxlab.errors import EnvironmentProblem
from mxlab.plan.plan import Plan
from mxlab_services.config import encode_config

SOCKET_PATH = 100  # bytes that a Unix socket's path may have, with a few to spare


def state_root() -> Path:
    """MXLAB_STATE_DIR, else XDG_STATE_HOME, else ~/.local/state; in it, `mxlab`."""
    given = os.environ.get("MXLAB_STATE_DIR") or os.environ.get("XDG_STATE_HOME")
    return (Path(given) if given else Path.home() / ".local" / "state").absolute() / "mxlab"


class NodeFolder:
    """One node's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.pid = path / "pid"
        self.events = path / "events.jsonl"
        self.log = path / "log"
        self.data = path / "data"


class LabFolder:
    """One lab's files."""

    def __init__(self, root: Path, lab: str) -> None:
        self.lab = lab
        self.path = root / lab
        self.record = self.path / "lab.json"

    def node(self, name: str) -> NodeFolder:
        return NodeFolder(self.path / name)

    @property
    def sockets(self) -> Path:
        """Where control sockets lie: here, or where their path is short enough for the kernel."""
        if len(os.fsencode(self.path)) + 40 < SOCKET_PATH:
            return self.path
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"mxlab-{os.getuid()}-{digest}"

    @property
    def exists(self) -> bool:
        return self.path.is_dir()

    def read(self) -> Plan | None:
        """The record; None where there is none, or one of another version of mxlab."""
        try:
            return msgspec.json.decode(self.record.read_bytes(), type=Plan)
        except (OSError, msgspec.MsgspecError):
            return None

    def write(self, plan: Plan) -> None:
        """Put down the plan and each node's configuration."""
        self._make_sockets()
        for config in plan.nodes:
            node = self.node(config.node)
            node.data.mkdir(parents=True)
            node.config.write_text(encode_config(config))
            node.config.chmod(0o600)
        write_whole(self.record, msgspec.json.encode(plan))

    def _make_sockets(self) -> None:
        if self.sockets == self.path:
            return
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        found = self.sockets.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise EnvironmentProblem(
                f"{self.sockets} belongs to somebody else", "set TMPDIR or MXLAB_STATE_DIR"
            )

    def remove(self) -> list[tuple[str, str]]:
        """Take the folders away; returns which were there. Raises EnvironmentProblem."""
        written = self.read()
        places = {self.path, self.sockets}
        places |= {Path(config.control).parent for config in written.nodes} if written else set()
        removed = []
        for place in sorted(places):
            if place != self.path and self.path in place.parents:
                continue
            with contextlib.suppress(FileNotFoundError):
                try:
                    shutil.rmtree(place)
                except FileNotFoundError:
                    raise
                except OSError as error:
                    raise EnvironmentProblem(f"{place} cannot be removed: {error}") from error
                removed.append(("folder", str(place)))
        return removed


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or the one before."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_bytes(content)
    temporary.chmod(0o600)
    temporary.replace(path)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the folder's lock; yields False where another process has it (never with `wait`).

    The kernel lets go of it when its holder dies.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
