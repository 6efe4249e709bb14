"""Domain names as tuples of labels, and their text (RFC 1035 §5.1). Pure.

Two names are equal in the DNS (RFC 4343) exactly when their `fold`s are equal.
"""

import functools
import re

from mxlab_services.domain import DomainError, a_label, one_dot
from mxlab_services.errors import ZoneError

Name = tuple[bytes, ...]  # the labels, leftmost first; the root is ()
ROOT: Name = ()

_ESCAPE = re.compile(r"\\(?:(\d{3})|(.))", re.DOTALL)
_SPECIAL = frozenset(b'."();@$\\')


def unescape(text: str) -> bytes:
    r"""The bytes that `text` means: `\DDD` is a decimal octet, `\X` is X. Raises ZoneError."""
    out = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        out += text[position : match.start()].encode()
        if match[1]:
            if int(match[1]) > 255:
                raise ZoneError(f"{match[0]} is no octet")
            out.append(int(match[1]))
        else:
            out += match[2].encode()
        position = match.end()
    rest = text[position:]
    if rest.endswith("\\"):
        raise ZoneError("a backslash at the end escapes nothing")
    return bytes(out + rest.encode())


@functools.lru_cache(maxsize=4096)
def parse_name(text: str, origin: Name = ROOT) -> Name:
    """The name in `text`, relative to `origin` unless it ends in a dot. Raises ZoneError.

    Labels beyond ASCII become A-labels (IDNA 2008).
    """
    if text == "@":
        return origin
    if text == ".":
        return ROOT
    if not text.isascii():
        text = one_dot(text)
    parts = re.findall(r"(?:\\.|[^.\\])+|\.|\\", text, re.DOTALL)
    labels = [_label(part) for part in parts[::2]]
    dots = parts[1::2]
    if not parts or any(part == "." for part in parts[::2]) or any(dot != "." for dot in dots):
        raise ZoneError(f"{text!r} is no domain name: an empty label")
    name = tuple(labels) if len(parts) % 2 == 0 else (*labels, *origin)
    if sum(len(label) + 1 for label in name) + 1 > 255:
        raise ZoneError(f"{text[:80]!r} is no domain name: longer than 255 octets")
    return name


def _label(text: str) -> bytes:
    if not text.isascii():
        try:
            text = a_label(text)
        except DomainError as error:
            raise ZoneError(str(error)) from error
    label = unescape(text)
    if len(label) > 63:
        raise ZoneError(f"{text[:80]!r} is no label: longer than 63 octets")
    return label


def fold(name: Name) -> Name:
    """The name in lower case, for comparing."""
    return tuple(label.lower() for label in name)


@functools.lru_cache(maxsize=4096)
def name_text(name: Name) -> str:
    """The name as zone text writes it, with its final dot."""
    return ".".join(_label_text(label) for label in name) + "."


@functools.lru_cache(maxsize=4096)
def _label_text(label: bytes) -> str:
    return "".join(
        f"\\{octet:03d}"
        if not 33 <= octet <= 126
        else ("\\" if octet in _SPECIAL else "") + chr(octet)
        for octet in label
    )


def is_below(name: Name, origin: Name) -> bool:
    """Whether a folded `name` is the folded `origin` or lies below it."""
    return not origin or name[-len(origin) :] == origin
