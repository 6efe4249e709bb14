"""The types that msgspec checks hold nothing on which it crashes."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Annotated, get_args, get_origin

import msgspec
import pytest

import mxlab
import mxlab_services
from mxlab.model.reference import Address, OneAddress


def _structs(base: type[msgspec.Struct] = msgspec.Struct) -> Iterator[type[msgspec.Struct]]:
    kind: type[msgspec.Struct]
    for kind in base.__subclasses__():
        yield kind
        yield from _structs(kind)


def _metas(kind: object) -> Iterator[msgspec.Meta]:
    if get_origin(kind) is Annotated:
        yield from (meta for meta in get_args(kind)[1:] if isinstance(meta, msgspec.Meta))
        yield from _metas(get_args(kind)[0])


def _bare(kind: object) -> object:
    return _bare(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _crashing(kind: object) -> bool:
    """Whether a text with a pattern stands beside a list, a tuple, a set or a mapping: msgspec up
    to 0.22 counts the pattern among the types and reads it as one when it collects garbage."""
    arms = get_args(_bare(kind)) if get_origin(_bare(kind)) is not dict else ()
    pattern = any(meta.pattern for arm in arms for meta in _metas(arm))
    held = any(get_origin(_bare(arm)) in (tuple, list, set, frozenset, dict) for arm in arms)
    return (pattern and held) or any(_crashing(part) for part in get_args(_bare(kind)))


@pytest.mark.parametrize(
    ("kind", "crashing"),
    [
        (Address | tuple[Address, ...], True),
        (dict[str, Address | list[str]], True),
        (Annotated[Address | tuple[str, ...], "x"] | None, True),
        (OneAddress | tuple[Address, ...], False),
        (tuple[Address, ...], False),
        (dict[Address, Address], False),
    ],
)
def test_the_test_finds_what_crashes(kind: object, crashing: bool) -> None:
    assert _crashing(kind) is crashing


def test_no_pattern_stands_beside_a_list() -> None:
    for package in (mxlab, mxlab_services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found = [
        f"{kind.__module__}.{kind.__name__}.{field.name}"
        for kind in _structs()
        for field in msgspec.structs.fields(kind)
        if _crashing(field.type)
    ]
    assert found == []
