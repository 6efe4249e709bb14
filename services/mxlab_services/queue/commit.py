"""Makes outcomes durable: what an attempt, the end of a lifetime or an operator changed.

Guarantee: an outcome and the notifications about it are one spool transaction; events about them
come after it. While the disk refuses, the outcome is kept and tried again, so that a message that
was delivered is not sent once more.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from mxlab_services import events
from mxlab_services.clock import Clock
from mxlab_services.errors import SpoolError
from mxlab_services.ids import Ids
from mxlab_services.message import Origin, Queued
from mxlab_services.queue import dsn as bounce
from mxlab_services.queue import dsn_again as bounce_again
from mxlab_services.queue.dsn import Fate
from mxlab_services.queue.enqueue import Intake
from mxlab_services.queue.live import LiveConfig
from mxlab_services.storage.ports import Settled, Spool

log = logging.getLogger(__name__)

LOCAL = Origin("")
# Real seconds between tries while the disk refuses: at first, and at the most, until a tenth of the
# time that it has lasted is more.
_REFUSED_WAIT = (0.1, 5.0)
_BAD = ("failed", "delayed")
_TRACE = 2000  # bytes for the Received fields that a notification gets on its way


class _Notice(Struct, frozen=True):
    """A notification, ready to be stored, with what its event says of it."""

    message: Queued
    content: bytes
    about: str
    about_queue_id: str
    to: str
    recipients: tuple[str, ...]
    action: bounce.Action
    status: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()
    again: bool = False  # in the place of one that was too large


class Settlement:
    """Records outcomes in the spool and tells senders of them."""

    def __init__(
        self,
        live: LiveConfig,
        spool: Spool,
        intake: Intake,
        ids: Ids,
        clock: Clock,
        emit: events.Emit,
        told: Callable[[Queued], None] | None = None,
    ) -> None:
        """A notification has at most `limits.message_size` bytes (SIZE, RFC 1870).

        `told` is called with each message whose sender was told of a failure or a delay.
        """
        self._spool = spool
        self._intake = intake
        self._ids = ids
        self._clock = clock
        self._emit = emit
        self._told = told
        self._live = live
        self._again = asyncio.Event()

    def try_again(self) -> None:
        """The disk may take again what it refused: what waits for it is tried now."""
        self._again.set()
        self._again = asyncio.Event()

    async def record(
        self,
        message: Queued,
        content: bytes,
        settled: Settled,
        fates: Sequence[Fate],
        retry_until: float | None = None,
    ) -> bool:
        """Make `settled` durable together with the notifications that `fates` call for.

        Returns True when the message is gone from the queue.
        """
        notices = self._notices(message, content, fates, retry_until)
        notices += self._again_shorter(message, content, fates)
        gone = await self._settle(settled, notices)
        self._suppressed(message, fates)
        for notice in notices:
            self._intake.accepted(notice.message, LOCAL, given=[notice.to])
            event = events.Bounced(
                queue_id=notice.message.queue_id,
                about=notice.about,
                about_queue_id=notice.about_queue_id,
                to=notice.to,
                recipients=list(notice.recipients),
                action="delivered" if notice.action == "relayed" else notice.action,
                status=list(notice.status),
                replies=list(notice.replies),
            )
            self._emit(event, notice.message.key)
            if self._told is not None and notice.action in _BAD and not notice.again:
                self._told(message)
        return gone

    async def _settle(self, settled: Settled, notices: list[_Notice]) -> bool:
        wait, most = _REFUSED_WAIT
        began = asyncio.get_running_loop().time()
        while True:
            try:
                extra = [(notice.message, notice.content) for notice in notices]
                return await self._spool.settle(settled, extra)
            except SpoolError as error:
                log.error("the outcome of %s waits for the disk: %s", settled.queue_id, error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._again.wait()
                now = self._clock.time()  # a notification's life begins when it is in the spool
                notices[:] = [replace(n, message=replace(n.message, arrived=now)) for n in notices]
                lasted = asyncio.get_running_loop().time() - began
                wait = min(wait * 2, max(most, lasted / 10))

    def _notices(
        self,
        message: Queued,
        content: bytes,
        fates: Iterable[Fate],
        retry_until: float | None,
    ) -> list[_Notice]:
        """One notification for each kind of fate of which the sender is to hear."""
        kinds: dict[str, list[Fate]] = {}
        for fate in fates:
            if bounce.wanted(message.sender, fate):
                kinds.setdefault(fate.action, []).append(fate)
        notices = []
        room = self._live.config.limits.message_size - _TRACE
        for told in (batch for kind in kinds.values() for batch in bounce.batches(kind)):
            envelope, report = bounce.notification(
                message, content, told, self._reporter(), retry_until, room
            )
            notices.append(
                _Notice(
                    *self._intake.prepare(envelope, report, LOCAL),
                    about=message.key,
                    about_queue_id=message.queue_id,
                    to=message.sender,
                    recipients=tuple(fate.recipient.address for fate in told),
                    action=told[0].action,
                    status=tuple(map(bounce.status_of, told)),
                    replies=tuple(str(fate.reply) for fate in told),
                )
            )
        return notices

    def _again_shorter(
        self, message: Queued, content: bytes, fates: Iterable[Fate]
    ) -> list[_Notice]:
        """A notification of ours in the place of one whose receiver found it too large."""
        if message.sender or not any(map(bounce_again.too_much, fates)):
            return []
        again = bounce_again.shorter(message, content, self._reporter())
        if again is None:
            return []
        stored = self._intake.prepare(again.envelope, again.content, LOCAL)
        return [
            _Notice(
                *stored,
                about=again.about,
                about_queue_id=again.about_queue_id,
                to=message.pending[0].address,
                recipients=again.recipients,
                action="failed",
                again=True,
            )
        ]

    def _reporter(self) -> bounce.Reporter:
        return bounce.Reporter(self._live.config.hostname, self._ids.token(), self._clock.time())

    def _suppressed(self, message: Queued, fates: Iterable[Fate]) -> None:
        silent = [
            fate.recipient.address
            for fate in fates
            if fate.action == "failed" and not bounce.wanted(message.sender, fate)
        ]
        if silent:
            reason = "the sender asked for none" if message.sender else "null reverse-path"
            self._emit(events.BounceSuppressed(message.queue_id, silent, reason), message.key)
