"""Exim 4 as a node: its files written, its daemon's command, its queue by its spool and tools.

Guarantee: what it has in its queue and in mailboxes is never touched by `prepare`; every tool's
failure is a ToolFailed with what it wrote.

Debian's binary takes its configuration from /etc/exim4/exim4.conf, which the image makes a link to
the file below the data; with `-C` each process that it starts anew would lose root.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from mxlab_services.config import MtaConfig
from mxlab_services.products import exim_retry, exim_spool
from mxlab_services.products.base import Action, Held, ToolFailed
from mxlab_services.products.child import ENVIRONMENT
from mxlab_services.products.exim_config import Places, queue_run, rendered
from mxlab_services.products.exim_log import EximGrammar
from mxlab_services.products.tool import run_tool

log = logging.getLogger(__name__)

EXIM, DUMP = "/usr/sbin/exim4", "/usr/sbin/exim_dumpdb"
_EDITS: dict[Action, str] = {"hold": "-Mf", "release": "-Mt", "delete": "-Mrm", "expire": "-Mg"}
_AT_ONCE = 0.5  # real seconds in which a flush shows that it cannot start; it may last for minutes


class EximServer:
    """Exim in one container, run as root (its `deliver` processes become other users)."""

    def __init__(self, config: MtaConfig) -> None:
        self._config = config
        self._places = Places(config.data)
        self._spool = Path(self._places.spool)
        self._flushes: set[asyncio.Task[None]] = set()

    @property
    def log(self) -> Path | None:
        return Path(self._places.logs) / "mainlog"

    def prepare(self) -> None:
        """Raises OSError, and ConfigError for what it cannot be told."""
        home = Path(self._places.home)
        for folder in self._places.folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in rendered(self._config).items():
            _write(home / name, content)
        (Path(self._places.logs) / "mainlog").touch(mode=0o600)

    def rendering(self) -> object:
        return rendered(self._config)

    def command(self) -> Sequence[str]:
        return (EXIM, "-bdf", f"-q{queue_run(self._config)}s")

    def grammar(self) -> EximGrammar:
        return EximGrammar()

    async def version(self) -> str:
        found = re.search(r"Exim version (\S+)", await _run(EXIM, "-bV"))
        if found is None:
            raise ToolFailed(f"{EXIM} -bV tells no version")
        return found[1]

    async def queue(self) -> list[Held]:
        listed = await asyncio.to_thread(self._queue)
        if all(one.state != "deferred" for one in listed):
            return listed
        due = exim_retry.due_by_key(await self._dumped(exim_retry.RETRY))
        hosts = exim_retry.hosts_by_message(await self._dumped(exim_retry.WAITING))

        def told(one: Held) -> Held:
            if one.state != "deferred":
                return one
            at = exim_retry.next_attempt(one, due, hosts.get(one.queue_id, ()))
            return replace(one, next_attempt=at)

        return [told(one) for one in listed]

    def _queue(self) -> list[Held]:
        try:
            listed = [exim_spool.held(self._spool, one) for one in exim_spool.ids(self._spool)]
        except (OSError, ValueError) as error:
            raise ToolFailed(f"the spool of Exim: {error}") from error
        return [one for one in listed if one is not None]

    async def _dumped(self, database: str) -> str:
        """What is in one of its hints databases, or nothing where it has none."""
        path = self._spool / "db" / database
        if not path.exists():
            return ""
        try:
            _, written = await run_tool((DUMP, str(self._spool), database), environment=ENVIRONMENT)
        except ToolFailed:
            if path.exists():
                raise
            return ""  # it was forgotten just now
        return written.decode("utf-8", "replace")

    async def content(self, queue_id: str) -> bytes | None:
        try:
            return await asyncio.to_thread(exim_spool.content, self._spool, queue_id)
        except (OSError, ValueError) as error:
            raise ToolFailed(f"the spool of Exim: {error}") from error

    async def flush(self, *, site: str | None = None, queue_id: str | None = None) -> None:
        """Begins to try, whatever the retry times say; held messages stay held, but one that is
        named."""
        if queue_id is not None:
            command = [EXIM, "-M", queue_id]
        elif site is not None:
            command = [EXIM, "-Rrf", f"@{re.escape(site)}$"]
        else:
            command = [EXIM, "-qf"]
        await self._begin(command)

    async def _begin(self, command: Sequence[str]) -> None:
        """Start what may last. Raises ToolFailed where it fails at once."""
        running = asyncio.create_task(_flush(command))
        self._flushes.add(running)
        running.add_done_callback(self._flushes.discard)
        await asyncio.wait([running], timeout=_AT_ONCE)
        if running.done():
            running.result()

    async def edit(self, action: Action, queue_ids: Sequence[str]) -> None:
        """Exim routes a message afresh whenever it is tried: to be requeued is to be tried now."""
        if not queue_ids:
            return
        if action == "requeue":
            await self._begin([EXIM, "-M", *queue_ids])
        else:
            await _run(EXIM, _EDITS[action], *queue_ids)

    async def forget(self) -> None:
        await asyncio.to_thread(self._forget)

    def _forget(self) -> None:
        for name in ("retry", "wait-smtp"):
            path = self._spool / "db" / name
            with _locked(path):
                path.unlink(missing_ok=True)

    async def reload(self) -> None:
        try:
            text = await asyncio.to_thread(Path(self._places.pid_file).read_text)
            os.kill(int(text), signal.SIGHUP)
        except (OSError, ValueError) as error:
            raise ToolFailed(f"Exim's daemon cannot be told: {error}") from error


async def _flush(command: Sequence[str]) -> None:
    try:
        await _run(*command)
    except ToolFailed as error:
        log.warning("%s", error)
        raise


async def _run(*command: str) -> str:
    """What the tool wrote. Raises ToolFailed, with that, where it ended badly."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise ToolFailed(f"{command[0]}: {error}") from error
    wrote, _ = await process.communicate()
    text = wrote.decode("utf-8", "replace")
    if process.returncode:
        said = text.strip() or f"exit code {process.returncode}"
        raise ToolFailed(f"{' '.join(command[:2])}: {said}")
    return text


def _write(path: Path, content: bytes) -> None:
    """Write it so that a reader has the old text or the new."""
    new = path.with_name(f".{path.name}.new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    new.rename(path)


@contextlib.contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Keep Exim's processes from a database, as they do among themselves."""
    lockfile = database.with_name(f"{database.name}.lockfile")
    if not lockfile.exists():  # nobody has used it yet
        yield
        return
    with lockfile.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield
