"""What is said of the messages in a mailbox."""

from collections.abc import Sequence

import pytest

from mxlab_services.control.requests import MailboxList
from mxlab_services.directory import Directory
from mxlab_services.roles.mailbox import Reading
from mxlab_services.storage.ports import Stored

DIRECTORY = Directory(
    ["bob@example.test", "carol@example.test"],
    aliases={
        "team@example.test": ["bob+team@example.test", "carol@example.test"],
        "carol@example.test": ["carol@example.test", "dora@far.test"],
    },
)


class One:
    """Mailboxes with one message."""

    def __init__(self, mailbox: str, delivered_to: str) -> None:
        content = f"Delivered-To: {delivered_to}\r\nMessage-ID: <one@client.test>\r\n\r\nhello\r\n"
        self._stored = Stored(mailbox, "1.M1P1.mx1", content.encode(), 0.0)

    async def deliver(self, address: str, content: bytes, at: float) -> str:
        raise NotImplementedError

    async def read(self, address: str | None = None) -> Sequence[Stored]:
        return [self._stored]

    async def one(self, address: str, name: str) -> Stored | None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("mailbox", "delivered_to", "addressee"),
    [
        ("bob@example.test", "bob@example.test", "bob@example.test"),
        ("bob@example.test", "bob+notes@example.test", "bob+notes@example.test"),
        ("bob@example.test", "team@example.test", "bob+team@example.test"),
        ("carol@example.test", "team@example.test", "carol@example.test"),
        ("carol@example.test", "carol@example.test", "carol@example.test"),
        ("eve@example.test", "team@example.test", "eve@example.test"),
    ],
)
async def test_a_member_has_it_where_the_header_has_the_alias(
    mailbox: str, delivered_to: str, addressee: str
) -> None:
    """As OpenSMTPD writes it."""
    reading = Reading(One(mailbox, delivered_to), DIRECTORY)
    (entry,) = await reading.entries(MailboxList())
    assert (entry.address, entry.addressee) == (mailbox, addressee)
