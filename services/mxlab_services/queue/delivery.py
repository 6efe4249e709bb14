"""One delivery attempt of one message to one destination, and what it comes to.

Results become values whatever happens on the way: a bug in a part is a deferral with the log's
traceback, never a lost message.
"""

import logging
import random
import re
from collections.abc import Callable, Collection, Mapping

from msgspec.structs import replace

from mxlab_services import events
from mxlab_services.address import canonical
from mxlab_services.clock import Clock
from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.message import Envelope, Pending, Queued
from mxlab_services.queue.commit import Settlement
from mxlab_services.queue.dsn import Action, Fate
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.ports import Deferred, Delivered, Failed, Job, Relay, Result, Router
from mxlab_services.reply import Reply
from mxlab_services.storage.ports import Mailboxes, Settled, Spool

log = logging.getLogger(__name__)

_SAID = re.compile(  # what `_reason` makes of a reply that was read
    r"(?:host (?P<host>\S+) said: )?(?P<code>[45]\d\d)"
    r"(?: (?P<enhanced>[45]\.\d+\.\d+))?(?: (?P<text>.*))?",
    re.DOTALL,
)
TOO_OLD = "message was too long in the queue"  # 5.4.7, RFC 3463 §3.5


class Attempts:
    """Delivers to mailboxes for `local_domains` (folded), by SMTP to all others."""

    def __init__(
        self,
        live: LiveConfig,
        local_domains: Collection[str],
        spool: Spool,
        mailboxes: Mailboxes,
        router: Router,
        relay: Relay,
        settlement: Settlement,
        clock: Clock,
        rng: random.Random,
        emit: events.Emit,
        mailbox_of: Callable[[str], str] = canonical,
    ) -> None:
        self._mailbox_of = mailbox_of
        self._local = local_domains
        self._spool = spool
        self._mailboxes = mailboxes
        self._router = router
        self._relay = relay
        self._settlement = settlement
        self._live = live
        self._clock = clock
        self._rng = rng
        self._emit = emit

    def forget(self) -> None:
        """Ask every host again in the next attempts, however silent it was a moment ago, and the
        disk for what it refused."""
        self._relay.forget()
        self._settlement.try_again()

    async def content(self, queue_id: str) -> bytes | None:
        """The content, empty where the disk does not give it; None if the message is gone."""
        try:
            return await self._spool.content(queue_id)
        except KeyError:
            return None
        except SpoolError as error:
            log.error("%s: %s", queue_id, error)
            return b""

    async def deliver(self, domain: str, message: Queued, content: bytes) -> Mapping[str, Result]:
        """Try the pending recipients of `message`, all at `domain`; a result for each address."""
        self._emit(
            events.AttemptStarted(
                queue_id=message.queue_id,
                domain=domain,
                recipients=[pending.address for pending in message.pending],
                attempt=_number(message),
            ),
            message.key,
        )
        if not content:
            return _all(message, Deferred(Reply(451, "4.3.0", "the content cannot be read")))
        try:
            if domain in self._local:
                return {p.address: await self._store(message, p, content) for p in message.pending}
            return await self._send(domain, message, content)
        except Exception:  # a bug: the message must outlive it
            log.exception("the attempt to deliver %s failed", message.queue_id)
            return _all(message, Deferred(Reply(451, "4.3.0", "internal error; see the log")))

    async def conclude(
        self, message: Queued, content: bytes, results: Mapping[str, Result], not_before: float
    ) -> bool:
        """Make the results durable and tell of them; deferred recipients wait for the schedule,
        and at least until `not_before`. Answers True when the message is gone from the queue."""
        now = self._clock.time()
        done: list[str] = []
        fates: list[Fate] = []
        deferred: list[Pending] = []
        for pending in message.pending:
            recipient, address = pending.recipient, pending.address
            match results[address]:
                case Delivered(reply, host, _, carries_dsn):
                    done.append(address)
                    if not host or not carries_dsn:
                        action: Action = "relayed" if host else "delivered"
                        fates.append(Fate(recipient, action, reply, host, now))
                case Failed(reply, host):
                    done.append(address)
                    fates.append(Fate(recipient, "failed", reply, host, now))
                case Deferred(reply, host) if now >= message.arrived + self._live.schedule.lifetime:
                    done.append(address)
                    last = replace(pending, reason=_reason(reply, host), tried=now)
                    fates.append(expired(last))
                case Deferred(reply, host):
                    wait = self._live.schedule.wait(
                        pending.attempts + 1, now - message.arrived, self._rng
                    )
                    deferred.append(
                        Pending(
                            recipient,
                            pending.attempts + 1,
                            max(now + wait, not_before),
                            _reason(reply, host),
                            now,
                        )
                    )
        settled = Settled(message.queue_id, tuple(done), tuple(deferred))
        gone = await self._settlement.record(message, content, settled, fates)
        self._tell_deferred(message, deferred)
        return gone

    async def _send(self, domain: str, message: Queued, content: bytes) -> Mapping[str, Result]:
        route = await self._router.route(domain, message.key)
        envelope = Envelope(
            message.sender,
            tuple(pending.recipient for pending in message.pending),
            message.eightbit,
            message.smtputf8,
            message.ret,
            message.envid,
        )
        job = Job(message.queue_id, message.key, envelope, content, domain)
        results = await self._relay.deliver(route, job)
        if route.targets:
            return results
        # No host to try: true of the next message to this destination as well.
        return {
            address: replace(result, dead=True) if isinstance(result, Deferred) else result
            for address, result in results.items()
        }

    async def _store(self, message: Queued, pending: Pending, content: bytes) -> Result:
        """Put a copy into a mailbox, with the fields of final delivery (RFC 5321 §4.4).

        An address in any of its forms is the same mailbox, with a tag, too, where it is a user's.
        """
        mailbox = self._mailbox_of(pending.address)
        address, now = pending.address, self._clock.time()
        head = f"Return-Path: <{message.sender}>\r\nDelivered-To: {address}\r\n".encode()
        try:
            name = await self._mailboxes.deliver(mailbox, head + content, now)
        except SpoolError as error:
            full = isinstance(error, SpoolFull)
            reply = Reply(452, "4.2.2", str(error)) if full else Reply(451, "4.3.0", str(error))
            outcome = events.Outcome(message.queue_id, address, "deferred", str(reply))
            self._emit(outcome, message.key)
            return Deferred(reply)
        told = "" if mailbox == canonical(address) else mailbox
        self._emit(
            events.MailboxDelivered(message.queue_id, address, name, message.digest, told),
            message.key,
        )
        whose = told or address
        return Delivered(Reply(250, "2.1.5", f"delivered to the mailbox of {whose}"), "")

    def _tell_deferred(self, message: Queued, deferred: list[Pending]) -> None:
        """One event for all recipients that wait for the same time and reason."""
        groups: dict[tuple[float, str], list[str]] = {}
        for pending in deferred:
            key = (pending.next_attempt, pending.reason)
            groups.setdefault(key, []).append(pending.address)
        for (at, reason), addresses in groups.items():
            event = events.Deferred(message.queue_id, addresses, _number(message), at, reason)
            self._emit(event, message.key)


def expired(pending: Pending) -> Fate:
    """The fate of a recipient whose message has reached its lifetime."""
    text = f"{TOO_OLD}; last: {pending.reason}" if pending.reason else TOO_OLD
    return Fate(pending.recipient, "failed", Reply(554, "5.4.7", text), tried=pending.tried)


def delayed(pending: Pending) -> Fate:
    """The fate of a recipient that waits still: what was said last, and by whom."""
    reason = pending.reason
    said = _SAID.fullmatch(reason)
    if said is None:
        return Fate(pending.recipient, "delayed", Reply(0, "", reason), tried=pending.tried)
    reply = Reply(int(said["code"]), said["enhanced"] or "", said["text"])
    return Fate(pending.recipient, "delayed", reply, said["host"] or "", pending.tried)


def _number(message: Queued) -> int:
    return 1 + max(pending.attempts for pending in message.pending)


def _all(message: Queued, result: Result) -> dict[str, Result]:
    return {pending.address: result for pending in message.pending}


def _reason(reply: Reply, host: str) -> str:
    return f"host {host} said: {reply}" if host and reply.code else str(reply)
