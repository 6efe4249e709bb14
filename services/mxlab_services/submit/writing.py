"""What a message is written with: filling, and texts of its header (RFC 2047, folded). Pure."""

import base64
import re

_FILL = 76  # bytes in a line of filling
_WORD = 45  # bytes of text in one encoded word (RFC 2047 §2: at most 75 characters encoded)


def filled_up(content: bytes, size: int) -> bytes:
    """`content`, which ends in CRLF, with exactly `size` bytes more."""
    whole, rest = divmod(size, _FILL + 2)
    if rest == 1:  # too little for a line of its own: lengthen another
        if not whole:
            return content[:-2] + b"x\r\n"
        return content + (b"x" * _FILL + b"\r\n") * (whole - 1) + b"x" * (_FILL + 1) + b"\r\n"
    last = b"x" * (rest - 2) + b"\r\n" if rest else b""
    return content + (b"x" * _FILL + b"\r\n") * whole + last


def encoded(text: str) -> str:
    """A header's text, folded, in encoded words (RFC 2047) where it is not ASCII.

    By hand, since the standard library's policy loses spaces between encoded words in some of the
    versions that we support, and makes encoded words of long addresses and links.
    """
    if text.isascii():
        return _folded(text)
    words, word = [], b""
    for character in text:
        more = character.encode()
        if len(word) + len(more) > _WORD:
            words.append(word)
            word = b""
        word += more
    words.append(word)
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(word).decode()}?=" for word in words)


def _folded(text: str) -> str:
    """Break a long text at spaces (RFC 5322 §2.2.3); what has none stays whole."""
    lines, line = [], ""
    for word in re.split(r"(?<=\S)(?=[ \t])", text):
        if line and len(line) + len(word) > 900:
            lines.append(line)
            line = ""
        line += word
    return "\r\n".join([*lines, line])
