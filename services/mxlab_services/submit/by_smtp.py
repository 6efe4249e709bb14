"""Hands messages in by SMTP at the node's own submission server, as a mail program does.

Guarantee: a recipient is answered as taken only where 250 to the final dot was read, and every
transaction is in the client's record before its MAIL is sent. A mail failure is a value.
"""

import asyncio
import re
from functools import partial
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from mxlab_services import events
from mxlab_services.clock import Clock
from mxlab_services.control.replies import SubmittedMessage
from mxlab_services.control.requests import HandIn
from mxlab_services.errors import ConfigError
from mxlab_services.ids import Ids
from mxlab_services.message import Recipient, content_digest
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.ports import Job, Witness
from mxlab_services.reply import Reply
from mxlab_services.smtp.client.connect import NoSession, Pool
from mxlab_services.smtp.client.dialog import Dialog
from mxlab_services.smtp.client.login import Credentials, SubmissionConnector
from mxlab_services.smtp.client.transaction import RecipientOutcome, Transaction

_QUEUED_AS = re.compile(r"\bqueued as <?([A-Za-z0-9.-]*[A-Za-z0-9])", re.IGNORECASE)


class _HandingIn(Struct):
    """One message on its way. `left`: who has no positive reply and no final refusal; `invoked`: a
    transaction is on record."""

    job: Job
    how: HandIn
    left: list[Recipient]
    taken: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    queue_id: str = ""
    stage: str = "connect"
    reply: Reply = field(default=Reply(0, "", ""))
    dialog: Dialog = field(default_factory=Dialog)
    invoked: bool = False


class SubmissionProgram:
    """The program. It opens a connection for each message, and closes it."""

    def __init__(
        self,
        live: LiveConfig,
        witness: Witness,
        emit: events.Emit,
        clock: Clock,
        ids: Ids,
    ) -> None:
        """`live` has a submission server. Raises ConfigError when its CA is not PEM text."""
        if (wanted := live.config.submission) is None:
            raise ConfigError(f"{live.config.node} takes no submissions")
        self._live = live
        self._witness, self._emit, self._clock = witness, emit, clock
        self._pool = Pool(live)
        self._connector = SubmissionConnector(live, self._pool.leave, wanted, ids.token)

    async def __call__(self, job: Job, how: HandIn, batch: str) -> SubmittedMessage:
        """Try, and try again what was not refused for good, as often as `how` says."""
        here = _HandingIn(job, how, list(job.envelope.recipients))
        for attempt in range(1, how.tries + 1):
            await self._try(here, attempt, batch)
            if not here.left or attempt == how.tries:
                break
            await self._clock.sleep(how.pause)
        return SubmittedMessage(
            message=job.key,
            queue_id=here.queue_id,
            digest=content_digest(job.content),
            sender=job.envelope.sender,
            recipients=[r.address for r in job.envelope.recipients if r.address in here.taken],
            refused=here.refused,
        )

    async def close(self) -> None:
        """Returns when its connections are closed."""
        await self._pool.close()

    async def _try(self, here: _HandingIn, attempt: int, batch: str) -> None:
        loop = asyncio.get_running_loop()
        began, here.dialog = loop.time(), Dialog()
        wanted = [recipient.address for recipient in here.left]
        try:
            await self._converse(here)
        finally:
            config = self._live.config
            self._emit(
                events.HandedIn(
                    config.hostname, config.address, here.how.user or "",
                    here.job.envelope.sender, wanted, attempt,
                    here.stage, str(here.reply), round(loop.time() - began, 6), list(here.dialog),
                    batch, here.dialog.times[:], here.dialog.connections[:],
                ),
                here.job.key,
            )  # fmt: skip

    async def _converse(self, here: _HandingIn) -> None:
        how = here.how
        given = Credentials(how.user, how.password, how.mechanism, how.implicit, how.tls)
        opened = await self._connector.enter(given, here.dialog)
        if isinstance(opened, NoSession):
            here.stage, here.reply = opened.stage, opened.reply
            for recipient in list(here.left):
                self._refused(here, recipient, opened.reply)
            return
        try:
            batch = tuple(here.left)
            while batch:
                job = replace(here.job, envelope=replace(here.job.envelope, recipients=batch))
                transaction = Transaction(opened, job, batch, self._live.config.timeouts)
                here.invoked = False
                await transaction.run(partial(self._begin, here, batch))
                here.stage, here.reply = transaction.stage, transaction.reply
                batch = self._settle(here, transaction)
        except BaseException:
            opened.abort()
            raise
        self._pool.leave(opened)

    def _settle(self, here: _HandingIn, transaction: Transaction) -> tuple[Recipient, ...]:
        """Put every recipient's fate on record; answers those that the server found too many."""
        again = []
        for recipient in transaction.recipients:
            # The server may have left between two transactions: nothing happened in the second.
            closed = RecipientOutcome("deferred", transaction.reply)
            fate = transaction.fates.get(recipient.address, closed)
            outcome: Literal["acked", "refused", "unknown"] = "refused"
            match fate.outcome:
                case "delivered":
                    outcome = "acked"
                    here.taken.append(recipient.address)
                    here.left.remove(recipient)
                    here.refused.pop(recipient.address, None)
                    found = _QUEUED_AS.search(fate.reply.text)
                    here.queue_id = here.queue_id or (found[1] if found else "")
                case "again":
                    again.append(recipient)
                case "unknown":
                    outcome = "unknown"
                    here.refused[recipient.address] = str(fate.reply)
                case "deferred" | "failed":
                    self._refused(here, recipient, fate.reply)
            if here.invoked:
                key, reply = here.job.key, str(fate.reply)
                self._witness.ended(key, recipient.address, self._host, outcome, reply)
        return tuple(again)

    def _begin(self, here: _HandingIn, batch: tuple[Recipient, ...]) -> None:
        self._witness.invoked(here.job.key, [r.address for r in batch], self._host)
        here.invoked = True

    def _refused(self, here: _HandingIn, recipient: Recipient, reply: Reply) -> None:
        """With a reply of 5yz for good (RFC 5321 §4.2.1), else for now."""
        here.refused[recipient.address] = str(reply)
        if reply.code // 100 == 5:
            here.left.remove(recipient)

    @property
    def _host(self) -> str:
        return self._live.config.hostname
