"""Sends by SMTP: walks the hosts of a route in one attempt (RFC 5321 §5.1), a fate per recipient.

A host or network that misbehaves never raises: each recipient ends Delivered, Deferred or Failed
with the reply that decided it. What was sent and not acknowledged is told as unknown, and is not
offered to another host in the same attempt.

A host that let an attempt wait in vain is passed over for a few seconds while another one can be
tried, so that a backlog does not wait for the same silence message by message.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from mxlab_services import events
from mxlab_services.message import Recipient
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.ports import (
    Deferred,
    Delivered,
    Failed,
    Job,
    Result,
    Route,
    Target,
    Witness,
)
from mxlab_services.reply import Reply
from mxlab_services.smtp.client.connect import Connector, Pool
from mxlab_services.smtp.client.connection import ClientSession
from mxlab_services.smtp.client.dialog import Dialog
from mxlab_services.smtp.client.transaction import RecipientOutcome, Transaction

_QUEUED_AS = re.compile(r"\bqueued as <?([A-Za-z0-9.-]*[A-Za-z0-9])", re.IGNORECASE)
_STAY = ("deferred", "again")  # fates with which a recipient goes on, here or at the next host
_RECORD: Mapping[str, Literal["acked", "refused", "unknown"]] = {
    "delivered": "acked",
    "deferred": "refused",
    "again": "refused",
    "failed": "refused",
    "unknown": "unknown",
}
SILENCE = 5.0  # real seconds for which a silent host is passed over
_COSTLY = 0.5  # real seconds; a host that refuses sooner costs nothing to ask again
_NO_HOST = Deferred(Reply(451, "4.4.4", "no host to try"))


class _Attempt(Struct):
    """One walk along a route's hosts."""

    job: Job
    left: list[Recipient]
    results: dict[str, Result] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)  # whose fate at some host was emitted
    answered: bool = False  # a host greeted and took EHLO


class _Visit(Struct):
    """One host, at one of its addresses. `invoked`: the witness has a transaction on record."""

    target: Target
    address: str
    started: float
    dialog: Dialog = field(default_factory=Dialog)
    stage: str = "connect"
    reply: Reply = field(default=Reply(0, "", ""))
    outcomes: list[events.Outcome] = field(default_factory=list)
    invoked: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.target.host, self.address


class SmtpRelay:
    """The relay of one MTA. `witness` is the client's own record, where there is one."""

    def __init__(self, live: LiveConfig, witness: Witness | None, emit: events.Emit) -> None:
        """Raises ConfigError when the CA for STARTTLS is not PEM text."""
        self._live = live
        self._witness = witness
        self._emit = emit
        self._pool = Pool(live)
        self._connector = Connector(live, self._pool.leave)
        self._silent: dict[tuple[str, str], tuple[float, Reply]] = {}  # until when, and why

    async def deliver(self, route: Route, job: Job) -> Mapping[str, Result]:
        """Walk the route's hosts, and each one's addresses, until every recipient has a fate.

        RFC 5321 §5.1: temporary trouble moves a recipient on to the next address or host; after
        the last it is Deferred (`dead` if no host got as far as EHLO). Cancelled, it drops the
        connection; the message may then be delivered already.
        """
        attempt = _Attempt(job, list(job.envelope.recipients))
        walk = [(target, address) for target in route.targets for address in target.addresses]
        silent = [place for place in walk if self._silence(*place)]
        if len(silent) == len(walk):
            silent = []
        for place in walk:
            if not attempt.left:
                break
            silence = self._silence(*place) if place in silent else None
            if silence is None:
                await self._visit(attempt, *place)
            else:
                self._pass_over(job, *place, silence)
        for recipient in attempt.left:
            result = attempt.results.get(recipient.address) or route.failure or _NO_HOST
            if isinstance(result, Deferred) and route.targets and not attempt.answered:
                result = replace(result, dead=True)
            attempt.results[recipient.address] = result
            if recipient.address not in attempt.told:
                outcome = self._outcome(attempt, recipient.address, result)
                self._emit(outcome, job.key)
        return attempt.results

    async def etrn(self, host: str, address: str, domain: str, dialog: Dialog) -> Reply:
        """Ask a host to start its queue for `domain`, on a connection of its own (RFC 1985 §5).

        Returns its reply, or what happened instead; writes the conversation to `dialog`.
        """
        opened = await self._connector.open(host, address, dialog)
        if not isinstance(opened, ClientSession):
            return opened.reply
        try:
            opened.send([f"ETRN {domain}"])
            return await opened.reply(self._live.config.timeouts.mail, "ETRN")
        finally:
            self._pool.leave(opened)

    def forget(self) -> None:
        """Ask every host again, however silent it was a moment ago."""
        self._silent.clear()

    def renew(self) -> None:
        """Open new connections from now on, as ETRN asks (RFC 1985 §5)."""
        self._pool.leave_all()

    async def close(self) -> None:
        """QUIT on the idle connections. Returns when they are closed."""
        await self._pool.close()

    def _silence(self, target: Target, address: str) -> Reply | None:
        """What happened where the host was silent a moment ago. An operator may have it forgotten
        at any time, and so does an answer."""
        until, reply = self._silent.get((target.host, address), (0.0, None))
        return reply if asyncio.get_running_loop().time() < until else None

    def _pass_over(self, job: Job, target: Target, address: str, silence: Reply) -> None:
        """Say that the host is not asked, and why not."""
        text = f"passed over, since a moment ago: {silence}"
        self._tell(job, _Visit(target, address, 0.0, stage="skipped"), text, 0.0)

    def _tell(self, job: Job, visit: _Visit, reply: str, seconds: float) -> None:
        tried = events.Tried(
            queue_id=job.queue_id,
            host=visit.target.host,
            address=visit.address,
            preference=visit.target.preference,
            stage=visit.stage,
            reply=reply,
            seconds=seconds,
            dialog=list(visit.dialog), domain=job.domain, times=visit.dialog.times[:],
            connections=visit.dialog.connections[:],
        )  # fmt: skip
        self._emit(tried, job.key)

    async def _visit(self, attempt: _Attempt, target: Target, address: str) -> None:
        loop = asyncio.get_running_loop()
        visit = _Visit(target, address, loop.time())
        try:
            session = self._kept(visit) or await self._open(attempt, visit)
            if session is not None:
                await self._transactions(attempt, visit, session)
        finally:
            seconds = round(loop.time() - visit.started, 6)
            self._tell(attempt.job, visit, str(visit.reply), seconds)
            for outcome in visit.outcomes:
                self._emit(outcome, attempt.job.key)

    def _kept(self, visit: _Visit) -> ClientSession | None:
        session = self._pool.take(visit.key)
        if session is not None:
            visit.dialog.append(f"C: <kept connection, message {session.used + 1} on it>")
            session.dialog = visit.dialog
            session.note_ports()
        return session

    async def _open(self, attempt: _Attempt, visit: _Visit) -> ClientSession | None:
        opened = await self._connector.open(visit.target.host, visit.address, visit.dialog)
        if isinstance(opened, ClientSession):
            attempt.answered = True
            self._silent.pop(visit.key, None)
            return opened
        now = asyncio.get_running_loop().time()
        if not opened.reply.code and now - visit.started >= _COSTLY:
            self._silent[visit.key] = now + SILENCE, opened.reply
        visit.stage, visit.reply = opened.stage, opened.reply
        host = "" if opened.stage == "connect" else visit.target.host
        for recipient in attempt.left:
            attempt.results[recipient.address] = Deferred(opened.reply, host)
        return None

    async def _transactions(self, attempt: _Attempt, visit: _Visit, session: ClientSession) -> None:
        """One transaction, and one more for each time the host finds the recipients too many."""
        batch, times = tuple(attempt.left), self._live.config.timeouts
        while True:
            transaction = Transaction(session, attempt.job, batch, times)
            try:
                await transaction.run(partial(self._begin, attempt.job, visit, batch))
            except BaseException:  # cancelled: no state of the connection can be relied upon
                session.abort()
                raise
            if transaction.stale:
                session.close()
                visit.dialog.append("C: <the kept connection was closed meanwhile: a new one>")
                reopened = await self._open(attempt, visit)
                if reopened is None:
                    self._end(attempt.job, visit, batch, "refused", visit.reply)
                    return
                session = reopened
                continue
            attempt.answered = True
            visit.stage, visit.reply = transaction.stage, transaction.reply
            batch = self._settle(attempt, visit, transaction)
            if not batch:
                break
        if transaction.clean:
            self._pool.give(visit.key, session)
        else:
            self._pool.leave(session)

    def _settle(
        self, attempt: _Attempt, visit: _Visit, transaction: Transaction
    ) -> tuple[Recipient, ...]:
        """Record every recipient's fate; answer those that go into another transaction."""
        host, fates = visit.target.host, transaction.fates
        for recipient in transaction.recipients:
            fate = fates[recipient.address]
            result = _result(fate, host, "dsn" in transaction.session.extensions)
            attempt.results[recipient.address] = result
            attempt.told.add(recipient.address)
            visit.outcomes.append(self._outcome(attempt, recipient.address, result))
            if visit.invoked:
                self._end(attempt.job, visit, [recipient], _RECORD[fate.outcome], fate.reply)
        visit.invoked = False
        done = {address for address, fate in fates.items() if fate.outcome not in _STAY}
        attempt.left = [r for r in attempt.left if r.address not in done]
        if any(fate.outcome == "unknown" for fate in fates.values()):
            visit.dialog.append(
                "C: <the final dot got no reply: the message may be there, so no other host is "
                "offered a second copy now (RFC 1047)>"
            )
        return tuple(r for r in transaction.recipients if fates[r.address].outcome == "again")

    def _outcome(self, attempt: _Attempt, address: str, result: Result) -> events.Outcome:
        queue_id, reply = attempt.job.queue_id, str(result.reply)
        match result:
            case Delivered(host=host, remote_id=remote_id):
                return events.Outcome(queue_id, address, "delivered", reply, host, remote_id)
            case Failed(host=host):
                return events.Outcome(queue_id, address, "failed", reply, host)
            case Deferred(host=host, unknown=unknown):
                word: Literal["unknown", "deferred"] = "unknown" if unknown else "deferred"
                return events.Outcome(queue_id, address, word, reply, host)

    def _begin(self, job: Job, visit: _Visit, batch: Sequence[Recipient]) -> None:
        if self._witness is not None and not visit.invoked:
            self._witness.invoked(job.key, [r.address for r in batch], visit.target.host)
            visit.invoked = True

    def _end(
        self,
        job: Job,
        visit: _Visit,
        batch: Sequence[Recipient],
        outcome: Literal["acked", "refused", "unknown"],
        reply: Reply,
    ) -> None:
        if self._witness is not None:
            for recipient in batch:
                self._witness.ended(
                    job.key, recipient.address, visit.target.host, outcome, str(reply)
                )


def _result(fate: RecipientOutcome, host: str, carries_dsn: bool) -> Result:
    match fate.outcome:
        case "delivered":
            found = _QUEUED_AS.search(fate.reply.text)
            return Delivered(fate.reply, host, found[1] if found else "", carries_dsn)
        case "failed":
            return Failed(fate.reply, host)
        case "deferred" | "again" | "unknown":
            return Deferred(fate.reply, host, unknown=fate.outcome == "unknown")
