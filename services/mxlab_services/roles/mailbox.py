"""Answers what lies in the mailboxes of a primary."""

import re

from mxlab_services.address import canonical
from mxlab_services.control.replies import MailboxEntry
from mxlab_services.control.requests import MailboxList, MailboxRead
from mxlab_services.errors import ControlError
from mxlab_services.message import content_digest, header_block, message_key, subject_of
from mxlab_services.storage.ports import Mailboxes, Stored

_FIELD = r"(?im)^%s:[ \t]*(.*(?:\r\n[ \t].*)*)"
_RETURN_PATH = re.compile(_FIELD % "return-path")


class Reading:
    """Answers the mailbox requests."""

    def __init__(self, mailboxes: Mailboxes) -> None:
        self._mailboxes = mailboxes

    async def entries(self, request: MailboxList) -> list[MailboxEntry]:
        """The messages of one mailbox, or of all, oldest first."""
        address = None if request.address is None else canonical(request.address)
        return [_entry(stored) for stored in await self._mailboxes.read(address)]

    async def whole(self, request: MailboxRead) -> bytes:
        """One message. Raises ControlError when it is not there."""
        for stored in await self._mailboxes.read(canonical(request.address)):
            if stored.name == request.name:
                return stored.content
        raise ControlError(f"no message {request.name} in the mailbox {request.address}", -32602)


def _entry(stored: Stored) -> MailboxEntry:
    head = header_block(stored.content).decode("utf-8", "replace")
    return MailboxEntry(
        address=stored.address,
        name=stored.name,
        message=message_key(stored.content),
        digest=content_digest(stored.content),
        size=len(stored.content),
        reverse_path=_value(_RETURN_PATH, head).strip("<>"),
        subject=subject_of(stored.content),
        delivered_at=stored.at,
    )


def _value(field: re.Pattern[str], head: str) -> str:
    """A header field's text, unfolded; empty where there is none."""
    found = field.search(head)
    return re.sub(r"\r\n(?=[ \t])", "", found[1]).strip() if found else ""
