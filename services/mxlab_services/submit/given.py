"""What a sender gives of a message by hand: header fields, or a whole message in a file. Pure.

Guarantee: a whole message keeps its bytes. Only its lines' ends become CRLF, whether CRLF, LF or CR
ended them (RFC 5321 §2.3.8), and the last line gets one where it has none.
"""

import re

from msgspec import Struct

from mxlab_services.message import NO_MESSAGE_ID, header_block, message_key

LINE = 998  # octets without CRLF (RFC 5322 §2.1.1)
_FIELD = re.compile(r"[!-9;-~]{1,70}")
_ENDS = re.compile(rb"\r\n|\n|\r")
_HEAD = re.compile(rb"[!-9;-~]+[ \t]*:")  # the name of a field (RFC 5322 §3.6.8, §4.5)


class WholeMessage(Struct, frozen=True):
    """A message as SMTP takes it. `message_id` is empty where it has none. `eightbit`: it needs
    8BITMIME (RFC 6152); `utf8`: its header needs SMTPUTF8 (RFC 6531)."""

    content: bytes
    message_id: str
    eightbit: bool
    utf8: bool


def field_problem(name: str, text: str) -> str:
    """Why this is no header field that a message can have; or nothing."""
    if not _FIELD.fullmatch(name):
        return f"{name[:80]!r} is no name of a header field"
    if not all(c.isprintable() or c == "\t" for c in text):
        return f"{name}: a line break or control character"
    return ""


def field_in(line: str) -> tuple[str, str]:
    """Name and text of the header field in `NAME: TEXT`. Raises ValueError."""
    name, colon, text = line.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"NAME: VALUE, not {line[:80]!r}")
    if wrong := field_problem(name.strip(), text.strip()):
        raise ValueError(wrong)
    return name.strip(), text.strip()


def whole_message(data: bytes, most: int) -> WholeMessage:
    """The message in a file, if it has at most `most` bytes. Raises ValueError: what is wrong, and
    in which line."""
    content = _ENDS.sub(b"\r\n", data)
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    if len(content) > most:
        raise ValueError(f"{len(content)} bytes, more than the {most} that a message may have")
    lines = content.split(b"\r\n")
    for number, line in enumerate(lines, 1):
        if b"\0" in line:
            raise ValueError(f"line {number}: a NUL, which no message may have (RFC 5322 §2.2)")
        if len(line) > LINE:
            text = f"line {number}: {len(line)} octets, and a line has at most {LINE}"
            raise ValueError(f"{text} (RFC 5322 §2.1.1)")
    _check_head(lines)
    key, head = message_key(content), header_block(content)
    return WholeMessage(
        content,
        "" if key.endswith(NO_MESSAGE_ID) else key,
        not content.isascii(),
        not head.isascii(),
    )


def _check_head(lines: list[bytes]) -> None:
    """Raise ValueError for lines before the first empty one that are no header fields."""
    if not lines[0]:
        raise ValueError("it does not begin with a header")
    for number, line in enumerate(lines, 1):
        if not line:
            return
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            why = "octets in the header that are neither ASCII nor UTF-8 (RFC 6532 §3.2)"
            raise ValueError(f"line {number}: {why}") from error
        if _HEAD.match(line) or (number > 1 and line[:1] in (b" ", b"\t")):
            continue
        hint = "a mailbox file's first line: leave it out" if line.startswith(b"From ") else ""
        raise ValueError(
            f"line {number}: no header field: {text[:40]!r}" + (f" ({hint})" if hint else "")
        )
