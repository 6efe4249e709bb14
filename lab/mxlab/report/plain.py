"""A scenario as plain JSON values, and back. Pure.

Reads back to the same scenario, but for functions that were given in Python: their names stay.
Steps, conditions and mechanisms stand under their key, as in a scenario file.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from mxlab.model.condition import CONDITIONS, AnyCondition
from mxlab.model.mechanism import MECHANISMS
from mxlab.model.scenario import Scenario, SourceFile
from mxlab.model.step import STEPS, AnyStep, Eventually, Fault, Never, Parallel, Python
from mxlab_services.faults.base import Mechanism

Plain = dict[str, object]
_Kind = TypeVar("_Kind")
_APART = ("steps", "expect", "origin")


def to_plain(scenario: Scenario) -> Plain:
    """The scenario in JSON's own types."""
    plain: Plain = {
        field.encode_name: msgspec.to_builtins(getattr(scenario, field.name))
        for field in msgspec.structs.fields(scenario)
        if field.name not in _APART
    }
    plain["steps"] = [_from_step(step) for step in scenario.steps]
    plain["expect"] = [
        item if isinstance(item, str) else {item.key: msgspec.to_builtins(item)}
        for item in scenario.expect
    ]
    if scenario.origin is not None:
        lines = [[list(path), line] for path, line in scenario.origin.lines.items()]
        plain["origin"] = {"file": scenario.origin.file, "lines": lines}
    return plain


def from_plain(plain: Mapping[str, object]) -> Scenario:
    """The scenario. Raises ValueError for what is none, or has parts that are not known here."""
    try:
        values = {
            field.name: msgspec.convert(plain[field.encode_name], field.type)
            for field in msgspec.structs.fields(Scenario)
            if field.name not in _APART and field.encode_name in plain
        }
        steps = tuple(_to_step(item) for item in _list(plain["steps"]))
        expect = tuple(
            item if isinstance(item, str) else _to_condition(item)
            for item in _list(plain["expect"])
        )
        return Scenario(**values, steps=steps, expect=expect, origin=_to_origin(plain))
    except (msgspec.ValidationError, TypeError) as error:
        raise ValueError(f"not a scenario: {error}") from error
    except KeyError as error:
        raise ValueError(f"not a scenario: it lacks {error}") from error


def _from_step(step: AnyStep) -> Plain:
    match step:
        case Fault(id=name, mechanism=mechanism):
            fields: Plain = msgspec.to_builtins(mechanism)
            del fields["kind"]  # which the key says
            return {step.key: {"id": name, "mechanism": {mechanism.kind: fields}}}
        case Eventually(condition=condition, within=seconds):
            awaited: Plain = {condition.key: msgspec.to_builtins(condition)}
            return {step.key: {"condition": awaited, "seconds": seconds}}
        case Never(condition=condition, during=seconds):
            forbidden: Plain = {condition.key: msgspec.to_builtins(condition)}
            return {step.key: {"condition": forbidden, "seconds": seconds}}
        case Parallel(steps=steps):
            return {step.key: {"steps": [_from_step(inner) for inner in steps]}}
        case Python(target=target):
            return {step.key: {"target": target}}
        case _:
            return {step.key: msgspec.to_builtins(step)}


def _to_step(item: object) -> AnyStep:
    kind, fields = _keyed(item, STEPS)
    if kind is Fault:
        mechanism: tuple[type[Mechanism], Plain] = _keyed(fields["mechanism"], MECHANISMS)
        return Fault(
            msgspec.convert(fields["id"], str), msgspec.convert(mechanism[1], mechanism[0])
        )
    if kind is Eventually or kind is Never:
        seconds = msgspec.convert(fields["seconds"], float)
        return kind(_to_condition(fields["condition"]), seconds)
    if kind is Parallel:
        return Parallel(tuple(_to_step(inner) for inner in _list(fields["steps"])))
    if kind is Python:
        return Python(msgspec.convert(fields["target"], str))
    return msgspec.convert(fields, kind)


def _to_condition(item: object) -> AnyCondition:
    kind, fields = _keyed(item, CONDITIONS)
    return msgspec.convert(fields, kind)


def _to_origin(plain: Mapping[str, object]) -> SourceFile | None:
    if "origin" not in plain:
        return None
    origin = msgspec.convert(plain["origin"], Plain)
    lines = msgspec.convert(origin["lines"], list[tuple[tuple[int, ...], int]])
    return SourceFile(msgspec.convert(origin["file"], str), dict(lines))


def _keyed(item: object, known: Mapping[str, type[_Kind]]) -> tuple[type[_Kind], Plain]:
    """What stands under the one key of `item`, and its type. Raises ValueError."""
    entries = msgspec.convert(item, dict[str, Plain])
    if len(entries) != 1 or not known.keys() >= entries.keys():
        raise ValueError(f"not a scenario: {', '.join(entries) or 'nothing'} is not known here")
    ((name, fields),) = entries.items()
    return known[name], fields


def _list(value: object) -> list[object]:
    return msgspec.convert(value, list[object])
