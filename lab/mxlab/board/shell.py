"""A shell on a pseudo-terminal, in a session of its own: what it says, what is typed, its end.

Guarantees: what is kept of its output is bounded, and no more is read from it than the viewer has
seen, but for a window; what is typed waits, bounded, until the shell takes it. At the end nothing
of its session is left: whatever a fork bomb's parent leaves behind is stopped, then killed, until
none is found. What has begun a session of its own, as the nodes of a lab do, goes on.
"""

import asyncio
import contextlib
import fcntl
import os
import pwd
import signal
import struct
import termios
from collections.abc import Callable, Mapping
from pathlib import Path

from mxlab.errors import EnvironmentProblem

KEPT = 128 * 1024  # bytes of output, for a viewer who comes back
WINDOW = 256 * 1024  # bytes that the viewer need not have seen yet
TYPED = 1024 * 1024  # bytes that may wait to be taken by the shell
BLOCK = 32 * 1024  # bytes read at once
UNSEEN_PAUSE = 0.1  # real seconds between two blocks that nobody watches
ROUND, ROUNDS = 0.02, 500  # real seconds between two looks for what is left, and how many
_PROC = Path("/proc")
# The first terminal that a session's leader opens becomes its own: so it is opened by name.
_OPEN = 'exec 0<>"$1" 1>&0 2>&0 && exec "$2"'


class TooMuchTyped(Exception):
    """More was typed than can wait."""


def login_shell() -> str:
    """The user's own, or what there is."""
    with contextlib.suppress(KeyError):
        found = pwd.getpwuid(os.getuid()).pw_shell
        if os.access(found, os.X_OK) and Path(found).name not in ("false", "nologin"):
            return found
    return "/bin/sh"


class Shell:
    """A shell that runs. `total`: bytes that it has said; `kept`: the last of them. `on_news` is
    called when there is more, or it has ended."""

    def __init__(self, main: int, process: asyncio.subprocess.Process) -> None:
        self._main, self._process = main, process
        self.total, self.kept = 0, bytearray()
        self.taken = 0  # bytes that were typed, and which the shell has
        self.seen: int | None = None  # by the viewer, of `total`; None: there is no viewer
        self.ended = False
        self.on_news: Callable[[], None] = lambda: None
        self._typed = bytearray()
        self._may_read, self._may_write = asyncio.Event(), asyncio.Event()
        self._tasks = [
            asyncio.create_task(work) for work in (self._read(), self._write(), self._wait())
        ]

    @classmethod
    async def start(cls, environment: Mapping[str, str], columns: int, rows: int) -> "Shell":
        """Begin one. Raises EnvironmentProblem where this machine has none to give."""
        try:
            main, other = os.openpty()
        except OSError as error:
            raise EnvironmentProblem(f"no terminal can be had: {error.strerror}") from error
        try:
            os.set_blocking(main, False)
            _resize(main, columns, rows)
            process = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", _OPEN, "sh", os.ttyname(other), login_shell(),
                env=environment, start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            os.close(main)
            raise EnvironmentProblem(f"no shell can be had: {error.strerror}") from error
        finally:
            # The shell has its own by then, or an early read of ours finds the other end shut and
            # is told so: `_readable` asks again while the shell lives.
            os.close(other)
        return cls(main, process)

    def resize(self, columns: int, rows: int) -> None:
        """Tell the programs in it how large the window is."""
        if not self.ended:
            _resize(self._main, columns, rows)

    def type(self, data: bytes) -> None:
        """Hand in what was typed. Raises TooMuchTyped; nothing is taken then."""
        if len(self._typed) + len(data) > TYPED:
            raise TooMuchTyped
        self._typed += data
        self._may_write.set()

    def look_on(self, seen: int | None) -> None:
        """The viewer has seen so much of it; None: there is none any more."""
        self.seen = seen
        self._forget()
        self._may_read.set()

    def after(self, position: int) -> tuple[int, bytes]:
        """Where what is kept goes on after that position, and a block of it."""
        start = max(position, self.total - len(self.kept))
        skip = start - (self.total - len(self.kept))
        return start, bytes(self.kept[skip : skip + BLOCK])

    @property
    def given(self) -> int:
        """Bytes that were typed, taken or not."""
        return self.taken + len(self._typed)

    def replayed_from(self) -> int:
        """From where on a viewer who comes is shown what was said: from the first whole line."""
        begin = self.total - len(self.kept)
        return begin and begin + self.kept.find(b"\n") + 1

    async def end(self) -> None:
        """End it with all of its session; returns when nothing of it is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self.ended:
            self.ended = True
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._main)
            loop.remove_writer(self._main)
            os.close(self._main)  # whoever is in the foreground is hung up
        await end_session(self._process.pid)
        await self._process.wait()
        self.on_news()

    async def _wait(self) -> None:
        """The shell's own end is that of all."""
        await self._process.wait()
        asyncio.get_running_loop().call_soon(self._over)

    def _over(self) -> None:
        self._ending = asyncio.create_task(self.end())

    async def _read(self) -> None:
        while True:
            await self._may_go_on()
            data = await self._block()
            self.total += len(data)
            self.kept += data
            self._forget()
            self.on_news()

    def _forget(self) -> None:
        """A viewer gets all; who comes back later gets the last of it."""
        most = KEPT if self.seen is None else KEPT + WINDOW
        del self.kept[: max(0, len(self.kept) - most)]

    async def _may_go_on(self) -> None:
        """Until the viewer is not too far behind; with none, until a moment has passed: nobody
        waits, and what is shown to nobody is not worth a processor."""
        while self.seen is not None and self.total - self.seen >= WINDOW:
            self._may_read.clear()
            await self._may_read.wait()
        if self.seen is None:
            self._may_read.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UNSEEN_PAUSE):
                    await self._may_read.wait()

    async def _block(self) -> bytes:
        """What it says next. Linux calls a terminal that nobody has open broken: not yet, or no
        more, which the process's end tells."""
        while True:
            with contextlib.suppress(BlockingIOError):
                try:
                    if data := os.read(self._main, BLOCK):
                        return data
                except OSError as error:
                    if isinstance(error, BlockingIOError):
                        raise
                await asyncio.sleep(UNSEEN_PAUSE)
                continue
            await _ready(self._main, writing=False)

    async def _write(self) -> None:
        while True:
            while not self._typed:
                self._may_write.clear()
                await self._may_write.wait()
            try:
                count = os.write(self._main, self._typed[:4096])
            except BlockingIOError:
                await _ready(self._main, writing=True)
                continue
            except OSError:
                await asyncio.sleep(UNSEEN_PAUSE)
                continue
            del self._typed[:count]
            self.taken += count
            self.on_news()


async def _ready(descriptor: int, *, writing: bool) -> None:
    """Until it can be read, or written."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    )
    add(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        remove(descriptor)


def _resize(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def session_members(session: int) -> set[int]:
    """The processes of a session that live."""
    found = set()
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            if fields[0] not in "ZX" and int(fields[3]) == session:
                found.add(int(entry.name))
    return found


async def end_session(session: int) -> None:
    """Stop all of it, so that nobody can begin others, and kill them. Raises EnvironmentProblem
    for what cannot be killed."""
    stopped: set[int] = set()
    for _ in range(ROUNDS):
        found = session_members(session)
        fresh = found - stopped
        for pid in fresh or found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGSTOP if fresh else signal.SIGKILL)
        if not found:
            return
        stopped |= found
        await asyncio.sleep(0 if fresh else ROUND)
    raise EnvironmentProblem(f"{len(session_members(session))} processes of a terminal stay")
