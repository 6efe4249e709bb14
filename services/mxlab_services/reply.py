"""An SMTP reply, as a value."""

from msgspec import Struct


class Reply(Struct, frozen=True):
    """An SMTP reply: `code` (RFC 5321 §4.2), `enhanced` (RFC 3463; may be empty) and text.

    A relay uses code 0 where no reply was read (refused, timeout, connection lost): the text says
    which, in the words of the network.
    """

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code or ""), self.enhanced, self.text) if part)
