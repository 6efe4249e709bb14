"""Turns the facts of a product's log into our events, in the order of the log.

Guarantee: nothing is told that does not follow from the log, from what was heard as it went in, or
from what lies in the queue; a message is told of as accepted once, also over the node's death.

Long: a method for each fact, over the state of one queue.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct, field

from mxlab_services import events
from mxlab_services.address import canonical, distinct, domain_of
from mxlab_services.config import MtaConfig
from mxlab_services.directory import directory_of
from mxlab_services.events import Body, Source
from mxlab_services.message import NO_MESSAGE_ID
from mxlab_services.products.base import (
    Arrived,
    Ended,
    Expired,
    Fact,
    Held,
    HostTried,
    Left,
    MailServer,
    Refusal,
    Serving,
    Told,
    ToolFailed,
)
from mxlab_services.products.hearing import Content, Heard, Hearing, read_content
from mxlab_services.products.maildirs import Deliveries
from mxlab_services.products.names import Named, Names
from mxlab_services.queue.ports import Witness
from mxlab_services.runtime import Counting
from mxlab_services.smtp.server.policy import local_domains

log = logging.getLogger(__name__)

NOT_TOLD = -1  # the preference of a host, which no product's log has
_MISSED = 1.0  # real seconds that a log has to tell of what left as the product began
_REMEMBERED = 1000  # messages that have left
_QUEUED_AS = re.compile(r"\bqueued as <?([A-Za-z0-9.-]*[A-Za-z0-9])", re.IGNORECASE)
_ENHANCED = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_RECORD: dict[str, Literal["acked", "refused", "unknown"]] = {
    "delivered": "acked",
    "deferred": "refused",
    "failed": "refused",
    "unknown": "unknown",
}


class _AttemptSoFar(Struct):
    """An attempt at one domain: of whom it is known how it ended, and what hosts were told of."""

    ended: set[str] = field(default_factory=set)
    hosts: set[tuple[str, str]] = field(default_factory=set)


class Telling:
    """The story of one product's queue. `journal` is the client's record, if it is one."""

    def __init__(
        self,
        config: MtaConfig,
        server: MailServer,
        hearing: Hearing,
        names: Names,
        deliveries: Deliveries,
        emit: Counting,
        journal: Witness | None,
    ) -> None:
        self._server = server
        self._hearing = hearing
        self._names = names
        self._deliveries = deliveries
        self._emit = emit
        self._journal = journal
        self._directory = directory_of(config)
        self._local = local_domains(config)
        self._has_clients = bool(config.submission_networks)
        self._facts: deque[Fact] = deque()
        self._more, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._named: dict[str, Named] = {}  # by queue id: what is in the queue, as far as we know
        self._left: dict[str, Named] = {}
        self._attempts: dict[tuple[str, str], _AttemptSoFar] = {}
        self._tried: dict[str, list[HostTried]] = {}  # by queue id: not told yet
        self._notices: dict[str, list[Told]] = {}  # by the queue id of a notification to come
        self._leaving: set[str] = set()  # they have left, but for the notification to come
        self._accepted: dict[str, asyncio.Future[str]] = {}  # by key, for who waits for its id
        self._told_of: set[str] = set()  # notifications that were told of
        self._unheard: set[str] = set()  # they left, and the log did not say so
        self.serving = asyncio.Event()  # the log says that the product takes connections

    def take(self, facts: Iterable[Fact]) -> None:
        """Tell of these, in this order, as soon as it can be."""
        self._facts.extend(facts)
        if self._facts:
            self._idle.clear()
            self._more.set()

    async def begin(self, held: Sequence[Held]) -> None:
        """Know what is in the queue, and tell of what was never told of: the node died before.

        What left the queue while the product began is told of by its log. What left at the end of
        the former life, when nobody heard the log any more, is missed after a while.
        """
        known = {name: named for name, named in self._names.load().items() if not named.left}
        coming = {fact.queue_id for fact in self._facts if isinstance(fact, Arrived)}
        for one in held:
            if (named := known.get(one.queue_id)) is not None:
                named.recipients = list(one.reasons)
                self._named[one.queue_id] = named
            elif one.queue_id not in coming:
                arrived = Arrived(
                    one.queue_id, sender=one.sender, recipients=tuple(one.reasons), size=one.size
                )
                await self._take_in(arrived, None, "queue")
        there = {one.queue_id for one in held}
        missed = {name: named for name, named in known.items() if name not in there}
        self._named |= missed
        self._names.keep(self._named.values())
        if missed:
            asyncio.get_running_loop().call_later(_MISSED, self._miss, list(missed))

    def _miss(self, queue_ids: Sequence[str]) -> None:
        self._unheard.update(one for one in queue_ids if one in self._named)
        self.take([Left(one) for one in queue_ids])

    async def run(self) -> None:
        """Tell, until it is cancelled."""
        while True:
            while self._facts:
                fact = self._facts[0]
                try:
                    await self._tell(fact)
                except Exception:  # a bug must cost one fact
                    log.exception("cannot be told: %r", fact)
                self._facts.popleft()
            self._more.clear()
            self._idle.set()
            await self._more.wait()

    async def idle(self) -> None:
        """Return once all that was taken is told."""
        await self._idle.wait()

    def named(self, queue_id: str) -> Named | None:
        """What is known of a message in the queue."""
        return self._named.get(queue_id)

    async def name(self, queue_id: str) -> Named | None:
        """The same, read from its content where nothing is known yet; None if it has gone."""
        named = self._named.get(queue_id) or self._left.get(queue_id)
        if named is None and (content := await self._content(queue_id)) is not None:
            named = Named(queue_id, content.key, content.digest)
        return named

    def awaited(self, key: str) -> "asyncio.Future[str]":
        """The queue id of the message of that name, once it is told of as accepted."""
        return self._accepted.setdefault(key, asyncio.get_running_loop().create_future())

    def unawaited(self, key: str) -> None:
        """Nobody waits for that any more."""
        self._accepted.pop(key, None)

    def deleted(self, queue_id: str) -> None:
        """An operator has deleted it."""
        self.take([Left(queue_id)])

    # --- facts ------------------------------------------------------------------------------------

    async def _tell(self, fact: Fact) -> None:
        match fact:
            case Arrived():
                await self._arrived(fact)
            case HostTried():
                self._tried.setdefault(fact.queue_id, []).append(fact)
            case Ended():
                await self._ended(fact)
            case Expired():
                await self._expired(fact)
            case Left() if self._awaits_notice(fact.queue_id):
                self._leaving.add(fact.queue_id)
            case Left():
                self._gone(fact)
            case Refusal():
                body = events.Refused(fact.verb, fact.reply, fact.peer, fact.recipient or None)
                self._say(body)
            case Told():
                self._noticed(fact)
            case Serving():
                self.serving.set()
            case _:
                raise TypeError(f"a fact of no known kind: {fact!r}")

    def _say(self, body: Body, named: Named | None = None, source: Source = "log") -> None:
        self._emit(body, named.key if named is not None else None, source=source)

    async def _arrived(self, fact: Arrived) -> None:
        if fact.queue_id in self._named:  # it is in the queue since long, and was begun anew
            return
        heard = None if fact.about else await self._hearing.find(fact.queue_id)
        await self._take_in(fact, heard, "log")

    async def _take_in(self, fact: Arrived, heard: Heard | None, source: Source) -> None:
        content = heard.content if heard else await self._content(fact.queue_id)
        if content is None:  # it has gone: only the log knows of it
            content = Content(fact.message_id or f"<{fact.queue_id}{NO_MESSAGE_ID}", "")
        given = (heard.recipients if heard else ()) or fact.recipients
        recipients = self._expanded(given)
        named = Named(
            fact.queue_id,
            content.key,
            content.digest,
            heard.sender if heard else fact.sender,
            recipients,
            fact.about,
        )
        self._named[fact.queue_id] = named
        self._keep(named)
        self._say(
            events.Accepted(
                queue_id=fact.queue_id,
                sender=named.sender,
                recipients=list(recipients),
                size=fact.size or content.size,
                digest=content.digest,
                peer=heard.peer if heard else fact.peer,
                helo=(heard.helo if heard else "") or fact.helo,
                protocol=(heard.protocol if heard else "") or fact.protocol or "local",
                subject=content.subject,
                batch=heard.batch if heard else "",
                silent=list(heard.silent) if heard else [],
            ),
            named,
            source,
        )
        for address in given:
            if (found := self._directory.expanded(address)) is not None:
                body = events.Expanded(fact.queue_id, address, list(found.members))
                self._say(body, named, source)
        if (waiting := self._accepted.pop(content.key, None)) and not waiting.done():
            waiting.set_result(fact.queue_id)
        awaiting = self._notices.pop(fact.queue_id, [])
        awaiting += self._notices.pop(f"about {fact.about}", []) if fact.about else []
        for told in awaiting:
            self._bounced(told, named)
            if told.queue_id in self._leaving:
                self._leaving.discard(told.queue_id)
                self._gone(Left(told.queue_id))

    def _keep(self, named: Named) -> None:
        """Have it known in the next life, if the disk takes it: it is told of in any case."""
        try:
            self._names.add(named)
        except OSError as error:
            log.error("%s may be told of a second time: %s", named.queue_id, error)

    def _expanded(self, given: Iterable[str]) -> list[str]:
        found: list[str] = []
        for address in given:
            expansion = self._directory.expanded(address)
            found += [address] if expansion is None else expansion.members
        return distinct(found, str)

    async def _content(self, queue_id: str) -> Content | None:
        try:
            content = await self._server.content(queue_id)
        except ToolFailed as error:
            log.warning("%s cannot be read: %s", queue_id, error)
            return None
        return None if content is None else read_content(content)

    async def _known(self, queue_id: str) -> Named | None:
        """The message of a fact; one of which the log has told nothing yet is told of now."""
        if queue_id not in self._named and queue_id not in self._left:
            if (content := await self._content(queue_id)) is None:
                return None
            named = Named(queue_id, content.key, content.digest)
            self._named[queue_id] = named
        return self._named.get(queue_id) or self._left.get(queue_id)

    async def _ended(self, fact: Ended) -> None:
        named = await self._known(fact.queue_id)
        fact = self._of_member(fact, named)
        attempt = self._attempt(fact, named)
        self._tell_hosts(fact, named, attempt)
        if fact.mailbox and fact.outcome == "delivered":
            self._in_mailbox(fact, named)
        else:
            self._outcome(fact, named)
        if named is None:
            return
        if fact.outcome in ("delivered", "failed"):
            named.recipients = [one for one in named.recipients if not _same(one, fact.recipient)]
        if fact.outcome == "failed":
            named.failed[fact.recipient] = fact.reply
        named.last[fact.recipient] = fact.reply
        if fact.outcome in ("deferred", "unknown") and not fact.goes_on:
            number = named.attempts.get(domain_of(fact.recipient), 1)
            self._say(
                events.Deferred(fact.queue_id, [fact.recipient], number, 0.0, fact.reply), named
            )

    def _of_member(self, fact: Ended, named: Named | None) -> Ended:
        """The same of the member to whom an alias led; of one who waits, if several have the local
        part that the log has."""
        found = self._directory.expanded(fact.recipient) if fact.local_part else None
        if found is None:
            return fact
        waiting = named.recipients if named is not None else ()
        wanted = fact.local_part.casefold()
        alike = [one for one in found.members if canonical(one).rpartition("@")[0] == wanted]
        alike.sort(key=lambda one: not any(_same(one, other) for other in waiting))
        return msgspec.structs.replace(fact, recipient=alike[0]) if alike else fact

    async def _expired(self, fact: Expired) -> None:
        named = await self._known(fact.queue_id)
        if named is not None:
            waiting, named.recipients = named.recipients, []
            named.failed |= {one: named.last.get(one, "") for one in waiting}

    def _attempt(self, fact: Ended, named: Named | None) -> _AttemptSoFar:
        """The attempt of which this is an end: a new one, if it has ended for that recipient."""
        domain, recipient = domain_of(fact.recipient), canonical(fact.recipient)
        attempt = self._attempts.get((fact.queue_id, domain))
        if attempt is None or recipient in attempt.ended:
            attempt = self._attempts[fact.queue_id, domain] = _AttemptSoFar()
            number, waiting = 1, [fact.recipient]
            if named is not None:
                number = named.attempts[domain] = named.attempts.get(domain, 0) + 1
                here = [one for one in named.recipients if domain_of(one) == domain]
                if any(_same(one, fact.recipient) for one in here):
                    waiting = here
            started = events.AttemptStarted(fact.queue_id, domain, waiting, number)
            self._say(started, named)
        if not fact.goes_on:
            attempt.ended.add(recipient)
        return attempt

    def _tell_hosts(self, fact: Ended, named: Named | None, attempt: _AttemptSoFar) -> None:
        tried = self._tried.pop("", []) + self._tried.pop(fact.queue_id, [])
        ends_there = fact.host and not any(one.host == fact.host for one in tried)
        if fact.outcome == "delivered" and ends_there:
            tried.append(
                HostTried(host=fact.host, address=fact.address, stage="done", reply=fact.reply)
            )
        for one in tried:
            last = (one.host, one.address) == (fact.host, fact.address)
            if one.stage == "done" and (one.host, one.address) in attempt.hosts:
                continue
            attempt.hosts.add((one.host, one.address))
            self._say(
                events.Tried(
                    queue_id=fact.queue_id,
                    host=one.host,
                    address=one.address,
                    preference=NOT_TOLD,
                    stage=one.stage,
                    reply=one.reply,
                    seconds=fact.seconds if last else 0.0,
                    dialog=[],
                    domain=domain_of(fact.recipient),
                ),
                named,
            )

    def _outcome(self, fact: Ended, named: Named | None) -> None:
        remote = _QUEUED_AS.search(fact.reply) if fact.outcome == "delivered" else None
        if self._journal is not None and fact.host and named is not None:
            try:
                self._journal.ended(
                    named.key, fact.recipient, fact.host, _RECORD[fact.outcome], fact.reply
                )
            except OSError as error:
                log.error("the outcome for %s is not on record: %s", fact.recipient, error)
        self._say(
            events.Outcome(
                fact.queue_id, fact.recipient, fact.outcome, fact.reply, fact.host,
                remote[1] if remote else "",
            ),
            named,
        )  # fmt: skip

    def _in_mailbox(self, fact: Ended, named: Named | None) -> None:
        mailbox = self._directory.mailbox(fact.recipient)
        found = self._deliveries.take(mailbox, named.key) if named is not None else None
        name, digest = (found[0], found[1].digest) if found else ("", "")
        told = "" if mailbox == canonical(fact.recipient) else mailbox
        self._say(events.MailboxDelivered(fact.queue_id, fact.recipient, name, digest, told), named)

    def _gone(self, fact: Left) -> None:
        named = self._named.pop(fact.queue_id, None)
        if named is None:
            return
        source: Source = "queue" if fact.queue_id in self._unheard else "log"
        self._say(events.Removed(fact.queue_id), named, source)
        named.left = True
        self._keep(named)
        self._left[fact.queue_id] = named
        self._tried.pop(fact.queue_id, None)
        for domain in named.attempts:
            self._attempts.pop((fact.queue_id, domain), None)
        while len(self._left) > _REMEMBERED:
            forgotten = next(iter(self._left))
            del self._left[forgotten]
            self._told_of.discard(forgotten)
            self._unheard.discard(forgotten)

    # --- notifications ----------------------------------------------------------------------------

    def _awaits_notice(self, queue_id: str) -> bool:
        """Whether its sender is told by a message of which nothing else is known yet: a queue
        manager may speak of what has left before it speaks of what is new."""
        return any(told.queue_id == queue_id for one in self._notices.values() for told in one)

    def _noticed(self, fact: Told) -> None:
        """The sender is told: now, if the notification is there, else once it is."""
        if fact.notification:
            notice = self._named.get(fact.notification) or self._left.get(fact.notification)
        else:
            there = (*self._named.values(), *self._left.values())
            notice = next(
                (
                    one
                    for one in there
                    if one.about == fact.queue_id and one.queue_id not in self._told_of
                ),
                None,
            )
        if notice is not None:
            self._bounced(fact, notice)
            return
        awaited = fact.notification or f"about {fact.queue_id}"
        self._notices.setdefault(awaited, []).append(fact)

    def _bounced(self, fact: Told, notice: Named) -> None:
        about = self._named.get(fact.queue_id) or self._left.get(fact.queue_id)
        if about is None:
            log.warning("a notification %s about %s, which is not known", notice, fact.queue_id)
            return
        self._told_of.add(notice.queue_id)
        concerned = dict(about.failed)
        if fact.action == "delayed":
            concerned = dict.fromkeys(about.recipients, "") or concerned
        if fact.action in ("failed", "delayed"):
            about.failed.clear()
            if not self._has_clients and domain_of(about.sender) not in self._local:
                self._emit.count("backscatter")
        replies = list(concerned.values())
        found = [_ENHANCED.search(reply) for reply in replies]
        self._say(
            events.Bounced(
                queue_id=notice.queue_id,
                about=about.key,
                about_queue_id=fact.queue_id,
                to=about.sender,
                recipients=list(concerned),
                action=fact.action,
                status=[one[0] if one else "" for one in found],
                replies=replies,
            ),
            notice,
        )


def _same(one: str, other: str) -> bool:
    return canonical(one) == canonical(other)
