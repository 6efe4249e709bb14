"""Which characters the texts of a scenario may hold. Pure.

What people read has no control characters: a title with an escape sequence would command their
terminal. What goes into mail may have any, as a story may be just about that.
"""

import functools
import unicodedata
from collections.abc import Iterator

import msgspec

Path = tuple[str | int, ...]
_LINES = frozenset("\n\t")
_LONG = frozenset(("summary", "say", "text", "question", "answer", "hint", "add", "remove", "zone"))
_MAIL = frozenset(("subject", "body"))


def unfit(value: object, name: str = "", path: Path = ()) -> Iterator[tuple[Path, str]]:
    """What is wrong with the texts in a value, and the path of keys and numbers to each."""
    match value:
        case str():
            if wrong := _wrong(value, name):
                yield path, wrong
        case tuple() | list():
            for number, item in enumerate(value):
                yield from unfit(item, name, (*path, number))
        case msgspec.Struct():
            for field in _fields(type(value)):
                inner = (*path, field.encode_name)
                yield from unfit(getattr(value, field.name), field.name, inner)
        case _:
            pass


_fields = functools.cache(msgspec.structs.fields)


def _wrong(text: str, name: str) -> str:
    if text.isprintable():
        return ""
    for character in text:
        code, kind = ord(character), unicodedata.category(character)
        if kind == "Cs":
            return f"half of a character: \\u{code:04x} is a surrogate without its other half"
        if kind == "Cc" and name not in _MAIL and not (name in _LONG and character in _LINES):
            return f"the control character U+{code:04X} cannot stand here"
    return ""
