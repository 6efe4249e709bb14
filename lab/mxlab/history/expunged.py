"""What mail programs took out of mailboxes, as the log of an IMAP server tells it. Pure.

Guarantee: nothing that a user or a message put into the log is taken for a line of the server's
own.
"""

import re
from collections.abc import Iterable

import msgspec

from mxlab_services.message import NO_MESSAGE_ID

# Dovecot's plugin mail_log, with `mail_log_fields = uid box msgid size`. The user is whoever logged
# in; a name that holds the line's own marks is nobody's mailbox.
_LINE = re.compile(
    r"\S+ \S+ (?P<protocol>imap|pop3)\((?P<user>[^()<>]+)\)<\d+><[^<>]*>: Info: "
    r"expunge: box=INBOX, uid=\d+, msgid=(?P<id>(?:(?!>: Info: ).)*), size=\d+"
)
_MESSAGE_ID = re.compile(r"<[^<>]+>")
_CUT = "..."  # at the end of an identifier that was too long for the log


class Expunged(msgspec.Struct, frozen=True):
    """A message that a reader deleted from the inbox of `mailbox` at the primary `node`, or moved
    elsewhere (RFC 3501 §6.4.3, RFC 1939 DELE). `message` is its Message-ID as far as it is known:
    cut off at the end where `cut`, empty where it has none."""

    node: str
    mailbox: str
    message: str
    protocol: str
    cut: bool = False

    def is_of(self, message: str) -> bool:
        """Whether it may be the message of that lab-wide name."""
        if not self.message:
            return message.endswith(NO_MESSAGE_ID)
        return message.startswith(self.message) if self.cut else message == self.message

    def __str__(self) -> str:
        return (
            f"a reader deleted it from {self.mailbox} at {self.node}, or moved it ({self.protocol})"
        )


def expunged_in(lines: Iterable[str], node: str) -> list[Expunged]:
    """All that the log of the server beside `node` tells."""
    return [
        _expunged(found, node) for line in lines if (found := _LINE.fullmatch(line)) is not None
    ]


def _expunged(found: re.Match[str], node: str) -> Expunged:
    text = found["id"]
    whole = _MESSAGE_ID.search(text)
    cut = whole is None and text.endswith(_CUT)
    message = whole[0] if whole else text.removesuffix(_CUT) if cut else ""
    return Expunged(node, found["user"], message, found["protocol"], cut)
