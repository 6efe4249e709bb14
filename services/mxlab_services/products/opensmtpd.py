"""OpenSMTPD as a node: its files written, its daemon's command, its queue by its tool and files.

Guarantee: what it has in its queue and in mailboxes is never touched by `prepare`; every tool's
failure is a ToolFailed with what it wrote.

Its retry schedule is built in (creation + 400 s x n², and a rest of 15 s x n² for a host that could
not be reached). Where the configured one is shorter, `tend` does what an operator's cron job would:
it says `smtpctl schedule` when a message is due.
"""

import asyncio
import logging
import math
import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from mxlab_services.address import domain_of
from mxlab_services.clock import ScaledClock
from mxlab_services.config import MtaConfig
from mxlab_services.domain import fold_domain
from mxlab_services.products.base import INNER_PORT, Action, Grammar, Held, ToolFailed
from mxlab_services.products.child import ENVIRONMENT
from mxlab_services.products.opensmtpd_config import HOST, OWNER, OpensmtpdPlaces, rendered
from mxlab_services.products.opensmtpd_log import OpensmtpdGrammar
from mxlab_services.products.opensmtpd_spool import Listed, OpensmtpdSpool, listed
from mxlab_services.products.tool import run_tool
from mxlab_services.queue.retry import schedule_of

log = logging.getLogger(__name__)

SMTPD, SMTPCTL = "/usr/sbin/smtpd", "/usr/sbin/smtpctl"
_OWN_SCHEDULE = "opensmtpd"
_LOOK = 1.0  # real seconds between two looks at the queue
_FLIGHT = 60.0  # real seconds that a flush waits for what is under way
_AT_ONCE = 0.5  # real seconds in which a flush shows that it cannot start
_ROUTE = re.compile(r"(\d+)\. .* (\S{4}) nconn=\d+ nerror=\d+ penalty=\d+ timeout=\S+")
_EDITS: dict[Action, tuple[str, ...]] = {
    "hold": ("pause", "envelope"),
    "release": ("resume", "envelope"),
    "delete": ("remove",),
    "requeue": ("schedule",),
}


class _PutOff(Struct):
    """An envelope that waits, since its attempt number `tried` failed."""

    tried: int
    since: float  # monotonic


class OpensmtpdServer:
    """One OpenSMTPD, run as root with the group of its tool (a MailServer)."""

    log = None
    inner = (HOST, INNER_PORT)

    def __init__(self, config: MtaConfig) -> None:
        self._config = config
        self._places = OpensmtpdPlaces(config.data)
        self._spool = OpensmtpdSpool(self._places.spool)
        self._flushing: asyncio.Task[None] | None = None
        self._to_flush: set[str] = set()  # envelopes
        self._flush_until = 0.0  # monotonic
        self._host = ScaledClock()  # what is in the queue has the host's time
        self._waiting: dict[str, _PutOff] = {}
        self._grammar = OpensmtpdGrammar(self._spool)

    def prepare(self) -> None:
        """Raises OSError, and ConfigError for what it cannot be told."""
        told, places = rendered(self._config), self._places
        for folder, mode in ((Path(self._config.data), 0o755), (places.home, 0o755)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
        places.spool.mkdir(exist_ok=True)
        places.spool.chmod(0o711)
        os.chown(places.spool, 0, 0)  # our own group is its tool's, which it would not have there
        # OpenSMTPD looks for a user's .forward at home, which is the mailbox, before it is there.
        for box in (places.mailboxes, *(places.mailboxes / name for name in told.folders)):
            box.mkdir(mode=0o700, exist_ok=True)
            os.chown(box, OWNER, OWNER)
        for name, text in told.files.items():
            _write(places.home / name, text)

    def command(self) -> Sequence[str]:
        """With traces: without them, the log does not tell how far a conversation came."""
        config = str(self._places.home / "smtpd.conf")
        return (SMTPD, "-d", "-T", "mta", "-T", "bounce", "-f", config)

    def grammar(self) -> Grammar:
        self._grammar = OpensmtpdGrammar(self._spool)
        return self._grammar

    async def version(self) -> str:
        """As it said when it began: its tools do not tell."""
        if not self._grammar.version:
            raise ToolFailed("OpenSMTPD has not told its version")
        return self._grammar.version

    async def queue(self) -> list[Held]:
        listed = [self._hurried(one) for one in await self._listed()]
        return self._spool.held(listed, self._host.time())

    async def content(self, queue_id: str) -> bytes | None:
        try:
            return await asyncio.to_thread(self._spool.content, queue_id)
        except OSError as error:
            raise ToolFailed(f"the queue of OpenSMTPD: {error}") from error

    async def flush(self, *, site: str | None = None, queue_id: str | None = None) -> None:
        """Resumes the routes and says that what waits is due. What is in an attempt now, it says
        that of once that has failed: before, OpenSMTPD would not hear of it."""

        def meant(one: Listed) -> bool:
            if one.notice or "suspend" in one.flags:
                return False
            return queue_id in (None, one.queue_id) and site in (None, _site(one))

        await self.forget()
        self._to_flush.update(one.envelope for one in await self._listed() if meant(one))
        self._flush_until = time.monotonic() + _FLIGHT
        if self._flushing is None or self._flushing.done():  # else that one sees to it
            self._flushing = asyncio.create_task(self._flush())
        await asyncio.wait([self._flushing], timeout=_AT_ONCE)
        if self._flushing.done():
            self._flushing.result()

    async def _flush(self) -> None:
        left = self._to_flush
        while left and time.monotonic() < self._flush_until:
            there = {one.envelope: one for one in await self._listed()}
            left.intersection_update(there)
            due = [there[name] for name in sorted(left) if there[name].waits]
            await self._schedule(due)
            left.difference_update(one.envelope for one in due)
            if left:
                await asyncio.sleep(_LOOK)
        left.clear()

    async def edit(self, action: Action, queue_ids: Sequence[str]) -> None:
        if action not in _EDITS:
            raise ToolFailed(f"OpenSMTPD has no tool to {action} a message")
        for queue_id in queue_ids:
            await self._tool(*_EDITS[action], queue_id)

    async def forget(self) -> None:
        """The routes that it has disabled since they failed; it keeps no more of others."""
        for line in (await self._tool("show", "routes")).splitlines():
            if (found := _ROUTE.fullmatch(line)) and "D" in found[2]:
                await self._tool("resume", "route", found[1])

    async def reload(self) -> None:
        raise ToolFailed("OpenSMTPD takes over a new configuration only when it is started anew")

    async def tend(self) -> None:
        """Have what waits tried by the configured schedule, where OpenSMTPD's own takes longer."""
        if self._config.retry.schedule == _OWN_SCHEDULE:
            return
        while True:
            await asyncio.sleep(_LOOK)
            try:
                await self._tend()
            except ToolFailed as error:
                log.warning("%s", error)

    async def _tend(self) -> None:
        now, known = time.monotonic(), self._waiting
        there = [one for one in await self._listed() if one.waits and one.tried and not one.notice]
        self._waiting = {}
        due = []
        for one in there:
            before = known.get(one.envelope)
            same = before is not None and before.tried == one.tried
            waits = before if same and before is not None else _PutOff(one.tried, now)
            self._waiting[one.envelope] = waits
            if now - waits.since >= self._delay(one):
                due.append(one)
        if due:
            await self.forget()
            await self._schedule(due)

    def _delay(self, one: Listed) -> float:
        """The wait after its last attempt by the configured schedule, in real seconds."""
        scale = self._config.time.scale
        age = max(0.0, self._host.time() - one.arrived) * scale
        return schedule_of(self._config.retry).delay(one.tried, age) / scale

    def _hurried(self, one: Listed) -> Listed:
        """With when it is really due: OpenSMTPD does not know that it will be told to hurry."""
        if self._config.retry.schedule == _OWN_SCHEDULE or one.due is None or not one.tried:
            return one
        left, seen = self._delay(one), self._waiting.get(one.envelope)
        if seen is not None and seen.tried == one.tried:
            left -= time.monotonic() - seen.since
        return replace(one, due=max(0, min(one.due, math.ceil(left))))

    async def _schedule(self, due: Iterable[Listed]) -> None:
        for one in due:
            await self._tool("schedule", one.envelope)

    async def _listed(self) -> list[Listed]:
        text = await self._tool("show", "queue")
        try:
            return list(listed(text))
        except ValueError as error:
            raise ToolFailed(f"{SMTPCTL} show queue: {error}") from error

    async def _tool(self, *arguments: str) -> str:
        _, written = await run_tool((SMTPCTL, *arguments), environment=ENVIRONMENT)
        return written.decode("utf-8", "backslashreplace")


def _site(one: Listed) -> str:
    return fold_domain(domain_of(one.recipient))


def _write(path: Path, text: str) -> None:
    """Whole or not at all; some of it is secret, and all is read by root."""
    half = path.with_name(f".{path.name}.new")
    half.touch(mode=0o600)
    half.write_text(text)
    half.rename(path)
