"""What came from outside, made visible and harmless for whoever reads it. Pure.

A message, a peer, a name or a file may bring characters that command a terminal (ESC, CSI, OSC),
turn the direction of the text, hide, break a line, or that no encoding has. Every output of mxlab
puts all that it shows through one of these functions; what is written for programs stays exact.
"""

import re
from typing import Any

# C0, DEL and C1; what hides or joins; line and paragraph separators; what turns the direction
# (UAX #9); annotations, surrogates that stand alone, tags, and what is no character.
_HARMFUL = (
    r"\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    r"\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff"
)
_IN_LINE = re.compile(f"[{_HARMFUL}]")
_IN_TEXT = re.compile(f"(?![\t\n])[{_HARMFUL}]")
_IN_JSON = re.compile(f"(?![\t\n\r])[{_HARMFUL}]")
_ESCAPES = re.compile(f"\\\\(?:u00(?P<control>[01][0-9a-f])|.)|[{_HARMFUL}]")
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def visible(line: str) -> str:
    """One line of text: ESC is shown as `\\x1b`, a line break as `\\n`, U+202E as `\\u202e`; a byte
    that was no text (a surrogate escape) as `\\xe9`. Done twice, it is the same."""
    return _IN_LINE.sub(_shown, line)


def visible_text(text: str) -> str:
    """Text of several lines: as `visible`, but line breaks and tabs stay."""
    return _IN_TEXT.sub(_shown, text.replace("\r\n", "\n"))


def exact_json(value: Any, indent: int = 0) -> str:
    """A value as JSON (indent 0: on one line), exact, such characters escaped as JSON does it."""
    return plain_json(_encoded(value, indent))


def plain_json(text: str) -> str:
    """JSON text with the same meaning, in which such characters are escaped as JSON does it."""
    return _IN_JSON.sub(lambda found: _json_escape(found[0]), text)


def shown_json(value: Any) -> str:
    """A value as JSON whose strings are as `visible_text` makes them, for a page to show."""
    return _ESCAPES.sub(_shown_in_json, _encoded(value))


def _encoded(value: Any, indent: int = 0) -> str:
    import msgspec

    try:
        text = msgspec.json.encode(value)
        return (msgspec.json.format(text, indent=indent) if indent else text).decode()
    except UnicodeEncodeError:  # a byte of a name or a message that is no text
        import json

        plain = msgspec.to_builtins(value, str_keys=True)
        return json.dumps(plain, ensure_ascii=False, indent=indent or None)


def _shown(found: re.Match[str]) -> str:
    return _escape(found[0])


def _escape(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if 0xDC80 <= code <= 0xDCFF:  # a byte, as surrogateescape holds it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))


def _shown_in_json(found: re.Match[str]) -> str:
    if found["control"] is not None:
        return f"\\\\x{found['control']}"
    if found[0].startswith("\\"):
        return {r"\b": r"\\x08", r"\f": r"\\x0c", r"\r": r"\\r"}.get(found[0], found[0])
    return "\\" + _escape(found[0])
