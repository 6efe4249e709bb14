"""A product's process: started in a session of its own, heard to its last line, stopped in order.

Guarantee: its output is read as long as anything of it lives, so that it never waits for us; once
`stop` has returned, nothing of its process group lives that we may end: what is of another user
ends with its parent, or with the container.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from mxlab_services.products.lines import Heard, PipeLines

log = logging.getLogger(__name__)

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
"""All that a product gets of an environment: ours has the node's keys."""
GRACE = 5.0  # real seconds that it gets to stop
_TAIL = 1.0  # real seconds in which the last lines must come once its processes are gone
_LOOK = 0.02  # real seconds between two looks whether a process is gone
_ORPHANED = 2.0  # real seconds after which nobody else takes an exit code


class Child:
    """One life of a product. `ended` has its exit code, negative for a signal's number."""

    def __init__(
        self, process: asyncio.subprocess.Process, output: PipeLines, pipe: asyncio.BaseTransport
    ) -> None:
        self.pid = process.pid
        self._process = process
        self._output = output
        self._pipe = pipe
        self.ended = asyncio.create_task(process.wait())

    @classmethod
    async def start(cls, command: Sequence[str], heard: Heard) -> "Child":
        """Start it; `heard` gets each line of its output. Raises OSError."""
        ours, its = os.pipe()
        loop = asyncio.get_running_loop()
        pipe, output = await loop.connect_read_pipe(
            lambda: PipeLines(heard), os.fdopen(ours, "rb", buffering=0)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=its,
                stderr=its,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except BaseException:
            pipe.close()
            raise
        finally:
            os.close(its)
        return cls(process, output, pipe)

    async def stop(self, grace: float = GRACE) -> None:
        """Ask it to stop (SIGTERM); after `grace` real seconds, kill all of it. Then hear its last
        lines. May be called again, and when it has ended by itself."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                self._process.terminate()
        try:
            async with asyncio.timeout(grace):
                await asyncio.shield(self.ended)
                while self._lives():  # noqa: ASYNC110 - nobody tells of a group's end
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            log.warning("%d did not stop within %g s: killed", self.pid, grace)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # or only others' are left
            os.killpg(self.pid, signal.SIGKILL)
        await self.ended
        await self.hear_out()

    async def hear_out(self) -> None:
        """Hear its last lines, after its end; a process that has left its group may hold the pipe
        open, and is not waited for."""
        try:
            async with asyncio.timeout(_TAIL):
                await asyncio.shield(self._output.ended)
        except TimeoutError:
            log.warning("something of %d lives on and holds its output", self.pid)
        self._pipe.close()

    def _lives(self) -> bool:
        """Whether any process of its group is there that is more than a record of its end."""
        try:
            with contextlib.suppress(PermissionError):  # another user's, as parts of a product are
                os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return any(group == self.pid and state != "Z" for _, state, _, group in _processes())


class Reaper:
    """As process 1: takes the exit codes of orphans, which are nobody's but ours.

    Those of our own children are taken at once by who waits for them: one that is still there at
    the second look is an orphan's.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()

    async def run(self) -> None:
        """Look now and then, until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_ORPHANED)

    def look(self) -> list[int]:
        """Take those that were there the last time, too. Answers their process ids."""
        own = os.getpid()
        there = {pid for pid, state, parent, _ in _processes() if state == "Z" and parent == own}
        taken = sorted(there & self._seen)
        self._seen = there
        for pid in taken:
            with contextlib.suppress(ChildProcessError):  # somebody waited for it, after all
                os.waitpid(pid, os.WNOHANG)
        return taken


def _processes() -> list[tuple[int, str, int, int]]:
    """Of each process: its id, state, parent and process group (proc(5))."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text("utf-8", "replace")
            except (FileNotFoundError, ProcessLookupError):  # it ended just now
                continue
            state, parent, group = text.rpartition(")")[2].split()[:3]
            found.append((int(folder.name), state, int(parent), int(group)))
    return found
