"""What becomes of messages that were just sent: for each recipient, and why."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mxlab.cli.output import stamp
from mxlab_services import events
from mxlab_services.address import canonical

if TYPE_CHECKING:
    from mxlab.backends.base import Lab, Node
    from mxlab_services.control.replies import SubmittedMessage
    from mxlab_services.events import Event

Show = Callable[["Event", str], None]  # an event, and the queue id that it belongs to
FIRST = (
    events.Lookup, events.Routed, events.Tried, events.Outcome, events.Deferred,
    events.DestinationDead, events.BounceSuppressed,
)  # fmt: skip


@dataclass(slots=True)
class AwaitedUnit:
    """A message for one recipient. `why`: what was last said of it, by `host` to `node`."""

    message: str
    recipient: str
    fate: str = "not delivered in time"
    why: str = ""
    host: str = ""
    node: str = ""
    until: float | None = None

    def __str__(self) -> str:
        by = f" (said by {self.host} to {self.node})" if self.host and self.why else ""
        kept = f"; {self.node} tries again at {stamp(self.until)}" if self.until else ""
        why = f": {self.why}{by}" if self.why else ": nothing was said of it yet"
        return f"{self.message} to {self.recipient}: {self.fate}{why}{kept}"

    def row(self) -> dict[str, object]:
        """The same as plain values."""
        return {
            "message": self.message, "recipient": self.recipient, "fate": self.fate,
            "reason": self.why, "host": self.host, "node": self.node, "next_attempt": self.until,
        }  # fmt: skip


class Outcomes:
    """Follows these messages, which went through `client`; `missing` are those that are not in
    their mailboxes."""

    def __init__(self, lab: "Lab", client: "Node", sent: "list[SubmittedMessage]") -> None:
        self._lab, self._client = lab, client
        self._sent = {message.message for message in sent}
        self._queue_ids = {m.message: m.queue_id for m in sent if m.recipients}
        self._units = {
            (message.message, canonical(recipient)): AwaitedUnit(message.message, recipient)
            for message in sent
            for recipient in message.recipients
        }
        self.dialogs: list[dict[str, object]] = []

    @property
    def missing(self) -> list[AwaitedUnit]:
        return list(self._units.values())

    async def handed_in(self, show: Show | None) -> None:
        """Show how a program handed them in, if one did."""
        import msgspec

        async with aclosing(self._client.events(follow=False)) as stream:  # type: ignore[type-var]
            async for event in stream:
                if event.message in self._sent and isinstance(event.body, events.HandedIn):
                    self.dialogs.append(msgspec.to_builtins(event.body))
                    if show is not None:
                        show(event, self._queue_ids.get(event.message, "refused"))

    async def first_attempts(self, seconds: float, show: Show | None) -> bool:
        """Follow the client until each message was tried and settled once, and show it. False where
        that took longer than `seconds` (real ones)."""
        import msgspec

        waiting = set(self._queue_ids.values())
        if not waiting:  # all were refused
            return True
        try:
            async with asyncio.timeout(seconds), aclosing(self._client.events()) as stream:  # type: ignore[type-var]
                async for event in stream:
                    queue_id = self._queue_ids.get(event.message or "")
                    if queue_id in waiting:
                        self._take(event)
                        if isinstance(event.body, events.Tried):
                            self.dialogs.append(msgspec.to_builtins(event.body))
                        if show is not None and isinstance(event.body, FIRST):
                            show(event, queue_id)
                    elif isinstance(event.body, events.Bounced):
                        self._take(event)
                    match event.body:
                        case events.Deferred(queue_id=done) | events.Removed(queue_id=done):
                            waiting.discard(done)
                    if not waiting:
                        return True
        except TimeoutError:
            return False
        return True

    async def deliveries(self, seconds: float) -> None:
        """Follow all nodes until every message is in every mailbox or bounced, or the time (real
        seconds) is over."""

        async def follow(name: str) -> None:
            async with aclosing(self._lab.nodes[name].events()) as stream:  # type: ignore[type-var]
                async for event in stream:
                    self._take(event)
                    if all(unit.fate == "bounced" for unit in self._units.values()):
                        return

        tasks = [
            asyncio.create_task(follow(name))
            for name in self._lab.nodes
            if name not in self._lab.topology.dns_hosts
        ]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _take(self, event: "Event") -> None:
        name = event.message or ""
        match event.body:
            case events.Expanded(recipient=recipient, members=members):
                if self._units.pop((name, canonical(recipient)), None) is not None:
                    for member in members:
                        key = name, canonical(member)
                        self._units.setdefault(key, AwaitedUnit(name, member))
            case events.MailboxDelivered(recipient=recipient):
                self._units.pop((name, canonical(recipient)), None)
            case events.Outcome(recipient=recipient) as said if said.outcome != "delivered":
                if (unit := self._units.get((name, canonical(recipient)))) is not None:
                    unit.why, unit.host, unit.node = said.reply, said.host, event.node
                    unit.until = None
            case events.Deferred(recipients=recipients) as deferred:
                for recipient in recipients:
                    if (unit := self._units.get((name, canonical(recipient)))) is not None:
                        unit.why, unit.node = unit.why or deferred.reason, event.node
                        unit.until = deferred.next_attempt or None
            case events.Bounced(about=about, recipients=recipients, action="failed"):
                for recipient in recipients:
                    if (unit := self._units.get((about, canonical(recipient)))) is not None:
                        unit.fate, unit.until = "bounced", None
            case _:
                pass
