"""Enough of JSON Schema (draft 2020-12) to check a scenario or an exercise against its own.

A keyword that is not known here is an error, so that nothing is passed over."""

import re
from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,),
    "number": (int, float), "boolean": (bool,),
}  # fmt: skip
_REMARKS = {"title", "description", "default", "examples", "$schema", "$defs"}


def violations(value: Any, schema: Any, root: Any = None, at: str = "$") -> list[str]:
    """What is wrong with `value`, each with its place."""
    return list(_check(value, schema, schema if root is None else root, at))


def _check(value: Any, schema: Any, root: Any, at: str) -> Iterator[str]:
    for word, rule in schema.items():
        match word:
            case "$ref":
                yield from _check(value, root["$defs"][rule.rpartition("/")[2]], root, at)
            case "type":
                good = isinstance(value, _TYPES[rule])
                if not good or (isinstance(value, bool) and rule != "boolean"):
                    yield f"{at}: no {rule}"
            case "anyOf":
                if all(violations(value, one, root, at) for one in rule):
                    yield f"{at}: none of {len(rule)} forms"
            case "oneOf":
                fitting = sum(not violations(value, one, root, at) for one in rule)
                if fitting != 1:
                    yield f"{at}: {fitting} of {len(rule)} forms"
            case "enum":
                if value not in rule:
                    yield f"{at}: {value!r} is not among {rule}"
            case "const":
                if value != rule:
                    yield f"{at}: not {rule!r}"
            case (
                "properties"
                | "required"
                | "additionalProperties"
                | "minProperties"
                | ("maxProperties")
            ):
                if isinstance(value, dict):
                    yield from _mapping(value, word, schema, root, at)
            case "items" | "prefixItems" | "minItems" | "maxItems":
                if isinstance(value, list):
                    yield from _list(value, word, schema, root, at)
            case "pattern" | "minLength" | "maxLength":
                if isinstance(value, str):
                    yield from _text(value, word, rule, at)
            case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
                if isinstance(value, int | float):
                    yield from _number(value, word, rule, at)
            case _:
                assert word in _REMARKS, f"{word} is not known here"


def _mapping(value: Any, word: str, schema: Any, root: Any, at: str) -> Iterator[str]:
    rule = schema[word]
    match word:
        case "properties":
            for key in value.keys() & rule.keys():
                yield from _check(value[key], rule[key], root, f"{at}.{key}")
        case "required":
            yield from (f"{at}: {key} is missing" for key in rule if key not in value)
        case "additionalProperties" if rule is False:
            yield from (f"{at}: {key} is unknown" for key in value.keys() - schema["properties"])
        case "additionalProperties":
            for key in value.keys() - schema.get("properties", {}):
                yield from _check(value[key], rule, root, f"{at}.{key}")
        case "minProperties" if len(value) < rule:
            yield f"{at}: fewer than {rule} keys"
        case "maxProperties" if len(value) > rule:
            yield f"{at}: more than {rule} keys"


def _list(value: list[Any], word: str, schema: Any, root: Any, at: str) -> Iterator[str]:
    rule, first = schema[word], len(schema.get("prefixItems", ()))
    match word:
        case "prefixItems":
            for number, (item, one) in enumerate(zip(value, rule, strict=False)):
                yield from _check(item, one, root, f"{at}[{number}]")
        case "items" if rule is False:
            yield from (f"{at}[{number}]: too many" for number in range(first, len(value)))
        case "items":
            for number, item in enumerate(value[first:], first):
                yield from _check(item, rule, root, f"{at}[{number}]")
        case "minItems" if len(value) < rule:
            yield f"{at}: {len(value)} items"
        case "maxItems" if len(value) > rule:
            yield f"{at}: {len(value)} items"


def _text(value: str, word: str, rule: Any, at: str) -> Iterator[str]:
    match word:
        case "pattern":
            good = re.search(rule, value) is not None
        case "minLength":
            good = len(value) >= rule
        case _:
            good = len(value) <= rule
    if not good:
        yield f"{at}: {value!r} breaks {word} {rule}"


def _number(value: float, word: str, rule: float, at: str) -> Iterator[str]:
    good = {
        "minimum": value >= rule,
        "maximum": value <= rule,
        "exclusiveMinimum": value > rule,
        "exclusiveMaximum": value < rule,
    }[word]
    if not good:
        yield f"{at}: {value} breaks {word} {rule}"
