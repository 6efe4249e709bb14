"""Starts, tells and ends processes.

Guarantee: a process is known by its number, its start and this boot, so that neither a number used
again nor a reboot makes another program ours; signals go to exactly that process or to none.
"""

import asyncio
import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mxlab.backends.base import State
from mxlab.backends.process.folder import NodeFolder, write_whole
from mxlab.errors import EnvironmentProblem

SEEN_SECONDS = 5.0  # for the kernel to show a stop or a resumption
LOOK_SECONDS = 0.001
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessLife:
    """One process: its number, when it started (clock ticks since boot), and the boot's id."""

    pid: int
    started: str
    boot: str

    @property
    def state(self) -> State:
        """Whether it lives, as the kernel shows it."""
        word, started = _stat(self.pid)
        if started != self.started or self.boot != _boot() or word in "ZX":
            return "stopped"
        return "paused" if word in "Tt" else "running"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process; nothing happens when it is gone."""
        with self._handle() as handle:
            if handle is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)

    async def ended(self, *, reap: bool = True) -> None:
        """Wait until it has ended; without `reap`, a child's exit code can be had after."""
        with self._handle() as handle:
            if handle is not None:
                over = asyncio.Event()
                loop = asyncio.get_running_loop()
                loop.add_reader(handle, over.set)
                try:
                    await over.wait()
                finally:
                    loop.remove_reader(handle)
        if reap:
            _reap(self.pid)

    def end_now(self, seconds: float) -> bool:
        """SIGKILL, and wait without the loop; False when it did not go in time."""
        with self._handle() as handle:
            if handle is None:
                return True
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            gone = bool(poll.poll(seconds * 1000))
        _reap(self.pid)
        return gone

    async def shows(self, wanted: State) -> None:
        """Wait until the kernel shows it so.

        It tells only a parent of stops, and this process may not be the parent: so look.
        Raises EnvironmentProblem when it does not come to that.
        """
        try:
            async with asyncio.timeout(SEEN_SECONDS):
                while self.state != wanted:  # noqa: ASYNC110 - nothing announces it
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise EnvironmentProblem(
                f"process {self.pid} should be {wanted} and is {self.state}"
            ) from None

    @contextlib.contextmanager
    def _handle(self) -> Iterator[int | None]:
        """A handle on this very process, or None when it is gone.

        One whose first thread has ended is not: the others may hold its sockets for a while, and
        only when the last one is gone does the handle say so.
        """
        try:
            handle = os.pidfd_open(self.pid)
        except (ProcessLookupError, OverflowError):
            yield None
            return
        try:  # only with the handle in hand does the check hold for what it is used on
            same = _stat(self.pid)[1] == self.started and self.boot == _boot()
            yield handle if same else None
        finally:
            os.close(handle)


def life_of(folder: NodeFolder) -> ProcessLife | None:
    """The node's last process as written down, whether it lives or not."""
    try:
        pid, started, boot = folder.pid.read_text().split()
        return ProcessLife(int(pid), started, boot)
    except (OSError, ValueError):
        return None


def spawn(folder: NodeFolder, environment: dict[str, str]) -> ProcessLife:
    """Start the node in a session of its own, its output appended to its files."""
    before = life_of(folder)
    if before is not None:
        _reap(before.pid)
    for path in (folder.events, folder.log):
        _end_line(path)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        sys.executable,
        _command(folder),
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(folder.events), append, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(folder.log), append, 0o600),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE),
    )
    life = ProcessLife(pid, _stat(pid)[1], _boot())
    write_whole(folder.pid, f"{life.pid} {life.started} {life.boot}\n".encode())
    return life


async def exit_code(life: ProcessLife) -> int | None:
    """The code of a child that has just ended; None for somebody else's."""
    try:
        _, status = os.waitpid(life.pid, os.WNOHANG)  # noqa: ASYNC222 - it does not wait
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status)


def strays(folder: Path) -> list[tuple[str, ProcessLife]]:
    """Node and process of all that were started with a configuration below `folder`, whether
    written down or not."""
    found = []
    prefix = os.fsencode(f"{folder}/")
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"mxlab_services" in words[:-2] and words[-2].startswith(prefix):
                pid = int(entry.name)
                node = Path(os.fsdecode(words[-2])).parent.name
                found.append((node, ProcessLife(pid, _stat(pid)[1], _boot())))
    return [(node, life) for node, life in found if life.state != "stopped"]


def _command(folder: NodeFolder) -> list[str]:
    return [sys.executable, "-P", "-m", "mxlab_services", "--config", str(folder.config)]


def _end_line(path: Path) -> None:
    """End a line that a kill cut short, so that the next life begins on one of its own."""
    with path.open("a+b") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


def _stat(pid: int) -> tuple[str, str]:
    """The process's state and start, as letters; X and nothing when there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return "X", ""
    fields = text.rpartition(")")[2].split()  # the command before may hold anything
    return fields[0], fields[19]


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _reap(pid: int) -> None:
    """Take an ended child off the table; another's children are its parent's."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
