"""Answers what lies in the mailboxes of a primary."""

import re

from mxlab_services.address import canonical
from mxlab_services.control.replies import MailboxEntry
from mxlab_services.control.requests import MailboxList, MailboxRead
from mxlab_services.directory import Directory
from mxlab_services.errors import ControlError
from mxlab_services.message import content_digest, header_block, message_key, subject_of
from mxlab_services.storage.ports import Mailboxes, Stored

_FIELD = r"(?im)^%s:[ \t]*(.*(?:\r\n[ \t].*)*)"
_DELIVERED_TO = re.compile(_FIELD % "delivered-to")
_RETURN_PATH = re.compile(_FIELD % "return-path")


class Reading:
    """Answers the mailbox requests. `directory`: who has a mailbox there, and by which aliases."""

    def __init__(self, mailboxes: Mailboxes, directory: Directory) -> None:
        self._mailboxes = mailboxes
        self._directory = directory

    async def entries(self, request: MailboxList) -> list[MailboxEntry]:
        """The messages of one mailbox, or of all, oldest first."""
        address = None if request.address is None else canonical(request.address)
        return [self._entry(stored) for stored in await self._mailboxes.read(address)]

    async def whole(self, request: MailboxRead) -> bytes:
        """One message, whatever flags it has by now. Raises ControlError when it is not there."""
        stored = await self._mailboxes.one(canonical(request.address), request.name)
        if stored is None:
            text = f"no message {request.name} in the mailbox {request.address}"
            raise ControlError(text, -32602)
        return stored.content

    def _entry(self, stored: Stored) -> MailboxEntry:
        head = header_block(stored.content).decode("utf-8", "replace")
        recipient = self._member(_value(_DELIVERED_TO, head), stored.address)
        return MailboxEntry(
            address=stored.address,
            name=stored.name,
            message=message_key(stored.content),
            digest=content_digest(stored.content),
            size=len(stored.content),
            reverse_path=_value(_RETURN_PATH, head).strip("<>"),
            subject=subject_of(stored.content),
            delivered_at=stored.at,
            recipient="" if canonical(recipient) == stored.address else recipient,
        )

    def _member(self, recipient: str, mailbox: str) -> str:
        """To whom a message was delivered there, where the header has the alias that led there."""
        found = self._directory.expanded(recipient) if recipient else None
        if found is None:
            return recipient
        here = (one for one in found.members if self._directory.mailbox(one) == mailbox)
        return next(here, mailbox)


def _value(field: re.Pattern[str], head: str) -> str:
    """A header field's text, unfolded; empty where there is none."""
    found = field.search(head)
    return re.sub(r"\r\n(?=[ \t])", "", found[1]).strip() if found else ""
