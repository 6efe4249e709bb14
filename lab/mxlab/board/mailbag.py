"""What was delivered, as a list that is searched while it grows: from the events, so that no
mailbox is read for it.

What a viewer deletes goes from this list alone: in the mailbox it stays, as evidence. So does what
is older than the last so many.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator

import msgspec

from mxlab.history.lookup import subject_text
from mxlab_services import events
from mxlab_services.events import Event

KEPT_MESSAGES = 200_000  # about 90 MB of memory for each 100,000


class MessageView(msgspec.Struct, frozen=True):
    """One delivered copy. `id` names it here; `message` is its Message-ID in the whole lab,
    `mailbox` the address whose mailbox it lies in at `node`, `recipient` for whom it came, `name`
    its file there. `delivered_at`: lab time."""

    id: str
    message: str
    mailbox: str
    recipient: str
    node: str
    name: str
    sender: str
    subject: str
    size: int
    delivered_at: float


class Mailbag:
    """What was delivered since the lab came up, oldest first: the last `kept` of it."""

    def __init__(self, kept: int = KEPT_MESSAGES) -> None:
        self._kept = kept
        self._by_id: dict[str, MessageView] = {}
        self._words: dict[str, str] = {}  # id -> what is searched, folded
        self._known: dict[str, tuple[str, str, int]] = {}  # message -> sender, subject, size
        self.boxes: Counter[tuple[str, str]] = Counter()  # node, mailbox -> messages delivered

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, event: Event) -> None:
        """Take an event."""
        match event.body:
            case events.Accepted() as body if event.message and event.message not in self._known:
                subject = subject_text(body.subject)
                self._known[event.message] = body.sender, subject, body.size
                if len(self._known) > self._kept:
                    del self._known[next(iter(self._known))]
            case events.MailboxDelivered() as body if event.message:
                self._put(event.node, event.message, event.at, body)
            case events.NodeErased():
                for one in [o for o in self._by_id.values() if o.node == event.node]:
                    self.remove(one.id)
                for box in [box for box in self.boxes if box[0] == event.node]:
                    del self.boxes[box]
            case _:
                pass

    def _put(self, node: str, message: str, at: float, body: events.MailboxDelivered) -> None:
        mailbox = body.mailbox or body.recipient
        sender, subject, size = self._known.get(message, ("", "", 0))
        name = hashlib.blake2b(f"{node}/{mailbox}/{body.name}".encode(), digest_size=8).hexdigest()
        found = MessageView(
            name, message, mailbox, body.recipient, node, body.name, sender, subject, size, at
        )
        self.boxes[node, mailbox] += name not in self._by_id
        self._by_id[name] = found
        self._words[name] = "\n".join(
            (sender, body.recipient, mailbox, subject, message)
        ).casefold()
        if len(self._by_id) > self._kept:
            self.remove(next(iter(self._by_id)))

    def get(self, name: str) -> MessageView | None:
        """The copy of that id, if it is in the list."""
        return self._by_id.get(name)

    def remove(self, name: str) -> None:
        """Take it off the list, if it is there."""
        self._by_id.pop(name, None)
        self._words.pop(name, None)

    def find(
        self, *, query: str = "", mailbox: str = "", to: str = "", sender: str = "",
        subject: str = "",
    ) -> Iterator[MessageView]:  # fmt: skip
        """Those that fit everything that is given, the newest first. `query`: each of its words
        stands in sender, recipient, subject or Message-ID; letters' case does not matter."""
        words = query.casefold().split()
        box = mailbox.casefold()
        fields = [
            (name, text.casefold())
            for name, text in (("recipient", to), ("sender", sender), ("subject", subject))
            if text
        ]
        texts, found = self._words, self._by_id
        for name in reversed(found):
            text = texts[name]
            for word in words:  # a loop: a hundred thousand of them are searched while one types
                if word not in text:
                    break
            else:
                one = found[name]
                if box and one.mailbox.casefold() != box:
                    continue
                if all(text in getattr(one, field).casefold() for field, text in fields):
                    yield one
