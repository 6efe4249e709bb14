"""The way into the queue: a message gets an id and a Received field, and is durable when accepted.

Guarantee: `message.accepted` is emitted, and the caller may say 250, only after the spool's `put`
has returned (RFC 5321 §6.1). What a caller is told to be stored is being tried at once.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from mxlab_services import events
from mxlab_services.address import distinct
from mxlab_services.clock import Clock
from mxlab_services.ids import Ids
from mxlab_services.message import (
    Envelope,
    Origin,
    Pending,
    Queued,
    Recipient,
    content_digest,
    message_key,
    subject_of,
)
from mxlab_services.queue.dsn import is_silent
from mxlab_services.queue.received import received_field
from mxlab_services.storage.ports import Spool


class Intake:
    """Accepts messages for the queue of `hostname`; an Accept."""

    def __init__(
        self,
        hostname: str,
        spool: Spool,
        ids: Ids,
        clock: Clock,
        emit: events.Emit,
        members: Callable[[str], Sequence[str]] = lambda _: (),
    ) -> None:
        """`members` has the addresses to which mail for an alias goes; none for any other."""
        self._members = members
        self._hostname = hostname
        self._spool = spool
        self._ids = ids
        self._clock = clock
        self._emit = emit
        self._wake: Callable[[Queued], None] | None = None

    def when_accepted(self, wake: Callable[[Queued], None]) -> None:
        """Call `wake` with each message that is durable in the spool from now on."""
        self._wake = wake

    async def __call__(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        """Store a message with one Received field more, and return its queue id.

        Raises SpoolFull or SpoolError; then nothing was stored.
        """
        message, stored = self.prepare(envelope, content, origin)
        await self._spool.put(message, stored)
        given = [recipient.address for recipient in envelope.recipients]
        self.accepted(message, origin, subject_of(content), given)
        return message.queue_id

    def prepare(self, envelope: Envelope, content: bytes, origin: Origin) -> tuple[Queued, bytes]:
        """The message as it is to be stored: due at once, the members of aliases in the place of
        these, each recipient only once, in the form and with the wishes that came first."""
        recipients = distinct(self._expanded(envelope.recipients), lambda one: one.address)
        queue_id, now = self._ids.queue_id(), self._clock.time()
        only = recipients[0].address if len(recipients) == 1 else None
        stored = received_field(self._hostname, origin, queue_id, now, only) + content
        message = Queued(
            queue_id=queue_id,
            key=message_key(content),
            digest=content_digest(content),
            sender=envelope.sender,
            size=len(stored),
            arrived=now,
            pending=tuple(Pending(r, next_attempt=now) for r in recipients),
            eightbit=envelope.eightbit,
            smtputf8=envelope.smtputf8,
            ret=envelope.ret,
            envid=envelope.envid,
        )
        return message, stored

    def _expanded(self, recipients: Iterable[Recipient]) -> Iterator[Recipient]:
        for recipient in recipients:
            members = self._members(recipient.address)
            if not members:
                yield recipient
            for member in members:  # a report says of whom the sender had thought (RFC 3461 §4.2)
                meant = recipient.orcpt or _orcpt(recipient.address)
                yield Recipient(member, recipient.notify, meant)

    def accepted(
        self, message: Queued, origin: Origin, subject: str = "", given: Iterable[str] = ()
    ) -> None:
        """Tell that `message` is durable, and have it tried. `given`: the recipients as they were
        before aliases were expanded."""
        event = events.Accepted(
            queue_id=message.queue_id,
            sender=message.sender,
            recipients=[pending.address for pending in message.pending],
            size=message.size,
            digest=message.digest,
            peer=origin.peer,
            helo=origin.helo,
            protocol=origin.protocol,
            subject=subject,
            batch=origin.batch,
            silent=[one.address for one in message.pending if is_silent(one.recipient)],
        )
        self._emit(event, message.key)
        for address in given:
            if members := self._members(address):
                expanded = events.Expanded(message.queue_id, address, list(members))
                self._emit(expanded, message.key)
        if self._wake is not None:
            self._wake(message)


def _orcpt(address: str) -> str:
    """The original recipient as the ORCPT parameter has it (RFC 3461 §4.2); empty where only UTF-8
    could say it."""
    if not address.isascii():
        return ""
    return "rfc822;" + re.sub(r"[^!-~]|[+=]", lambda found: f"+{ord(found[0]):02X}", address)
