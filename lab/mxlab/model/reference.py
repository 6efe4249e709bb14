"""Which fields of a step, a condition or a fault name something that stands elsewhere. Pure.

A field says so by its type: whatever is declared with one of these types is looked up wherever
scenarios are checked, and nothing more has to be written for it.
"""

import functools
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

Named = Literal[
    "host", "mail host", "name server", "batch", "fault", "address", "reverse-path", "domain",
    "sender",
]  # fmt: skip
Place = tuple[str | int, ...]  # keys and numbers, as they lead through a scenario file

Id = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9_-]{0,40}$",
        description="an id: at most 41 of a-z, 0-9, _ and -, a letter first",
    ),
]


def naming(what: Named) -> msgspec.Meta:
    """The mark of a type whose values name a `what`."""
    return msgspec.Meta(extra={"names": what})


def beside_list(meta: msgspec.Meta) -> msgspec.Meta:
    """The mark of a text that may stand in the place of a list of such: for the schema `meta`, and
    no pattern for msgspec, which (up to 0.22) takes a pattern beside a list for a type when it
    collects garbage, and crashes: `mxlab.typed.unmatched` tells of such a text."""
    return msgspec.Meta(
        description=meta.description, extra_json_schema={"pattern": meta.pattern or ""}
    )


BatchId = Annotated[Id, naming("batch")]
FaultId = Annotated[Id, naming("fault")]
# The finer rules are the services' (`mxlab.scenario.sound` asks them).
_ADDRESS = msgspec.Meta(pattern=r"^.+@[^@\s<>]+$", description="a mail address: local-part@domain")
Address = Annotated[str, _ADDRESS, naming("address")]
OneAddress = Annotated[str, beside_list(_ADDRESS), naming("address")]
ReversePath = Annotated[  # empty, or `<>`, is the null one
    str,
    msgspec.Meta(pattern=r"^(<>|.+@[^@\s<>]+)?$", description=f"{_ADDRESS.description}; or <>"),
    naming("reverse-path"),
]


@dataclass(frozen=True, slots=True)
class Reference:
    """A `name` in the file, of what it is one, and where it stands."""

    what: Named
    name: str
    place: Place


def references(value: msgspec.Struct, place: Place) -> Iterator[Reference]:
    """All that a struct at `place` names, in the order of its fields. The field that may stand
    alone in the struct's place has that place itself."""
    alone = getattr(value, "short", "") or getattr(value, "alone", "")
    for name, key, what in _naming_fields(type(value)):
        content = getattr(value, name)
        where = place if name == alone else (*place, key)
        if isinstance(content, tuple):
            yield from (Reference(what, one, (*where, n)) for n, one in enumerate(content))
        elif content is not None:
            yield Reference(what, content, where)


@functools.cache
def _naming_fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Named], ...]:
    """Name, key in a file, and what it names, of each field that names something."""
    return tuple(
        (field.name, field.encode_name, what)
        for field in msgspec.structs.fields(kind)
        if (what := _mark(field.type)) is not None
    )


def _mark(kind: Any) -> Named | None:
    """The mark of a type, or of one within it."""
    for part in (*getattr(kind, "__metadata__", ()), *typing.get_args(kind)):
        if isinstance(part, msgspec.Meta):
            if part.extra is not None and "names" in part.extra:
                found: Named = part.extra["names"]
                return found
        elif (within := _mark(part)) is not None:
            return within
    return None
