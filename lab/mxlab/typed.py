"""What msgspec says of a value that does not fit its type, in words for people. Pure."""

import functools
import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from mxlab.errors import nearest

_WORDS = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false",
    "array": "a list", "object": "a mapping", "null": "nothing",
}  # fmt: skip
_LONGEST = 60  # characters of a value that are shown


def say_of(said: str, kind: Any, value: object) -> tuple[str, str]:
    """`said` is msgspec's, of `value`, which should be of type `kind`: the same for people, and a
    hint or nothing."""
    if said.startswith("Invalid enum value"):
        known = list(
            dict.fromkeys(word for one in _literals(kind) for word in typing.get_args(one))
        )
        texts = [word for word in known if isinstance(word, str)]
        near = nearest(value, texts) if isinstance(value, str) else ""
        hint = f"did you mean {near}? " if near else ""
        return f"{shown(value)} is not known here", f"{hint}known: {', '.join(map(str, known))}"
    for meta in _metas(kind):
        if meta.pattern and meta.description and said.endswith(f"regex {meta.pattern!r}"):
            return f"{shown(value)} is not {meta.description}", ""
    words = re.sub(r"`(\w+)`", lambda m: _WORDS.get(m[1], f"`{m[1]}`"), said)
    return words[0].lower() + words[1:], ""


def misfit(value: msgspec.Struct) -> tuple[str, str, str] | None:
    """What in a struct that was built in Python does not fit its type: its key, what is wrong, and
    a hint or nothing. None where all fits."""
    plain = msgspec.to_builtins(value)
    try:
        msgspec.convert(plain, type(value))
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        inner: Any = plain
        for key, number in re.findall(r"\.([\w-]+)|\[(\d+)\]", path):
            inner = inner[key] if key else inner[int(number)]
        key = path.strip("`").lstrip(".")
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(value)}
        kind = fields.get(re.split(r"[.\[]", key)[0], type(value))
        return key, *say_of(said, kind, inner)
    for name, key, metas in _besides(type(value)):
        if wrong := _unmatched(getattr(value, name), metas):
            return key, wrong, ""
    return None


def unmatched(value: object, kind: Any) -> str:
    """What is wrong with a text that stands in the place of a list, of which msgspec does not check
    the pattern (`mxlab.model.reference.beside_list`), or nothing."""
    return _unmatched(value, _patterned(kind)) if isinstance(value, str) else ""


def _unmatched(value: object, metas: Iterable[msgspec.Meta]) -> str:
    if isinstance(value, str):
        for meta in metas:
            if not re.search(_pattern(meta), value):
                return f"{shown(value)} is not {meta.description}"
    return ""


@functools.cache
def _besides(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, tuple[msgspec.Meta, ...]], ...]:
    """The fields of a struct that have such a pattern: name, key, and what bears it."""
    fields = (
        (one.name, one.encode_name, _patterned(one.type)) for one in msgspec.structs.fields(kind)
    )
    return tuple(field for field in fields if field[2])


def _patterned(kind: Any) -> tuple[msgspec.Meta, ...]:
    return tuple(meta for meta in _metas(kind) if _pattern(meta))


def _pattern(meta: msgspec.Meta) -> str:
    return str((meta.extra_json_schema or {}).get("pattern", ""))


def shown(value: object) -> str:
    """The value, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _metas(kind: Any) -> Iterator[msgspec.Meta]:
    if typing.get_origin(kind) is typing.Annotated:
        yield from (meta for meta in kind.__metadata__ if isinstance(meta, msgspec.Meta))
    for part in _parts(kind):
        yield from _metas(part)


def _literals(kind: Any) -> Iterator[Any]:
    if typing.get_origin(kind) is Literal:
        yield kind
    for part in _parts(kind):
        yield from _literals(part)


def _parts(kind: Any) -> Iterator[Any]:
    """The types of which a type is made."""
    if typing.get_origin(kind) is not Literal:
        yield from typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from (field.type for field in msgspec.structs.fields(kind))
