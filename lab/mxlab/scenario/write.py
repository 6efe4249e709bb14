"""Scenarios as YAML that the loader reads back to the same scenario."""

import typing
from typing import Any

import msgspec
import yaml

from mxlab.model.condition import AnyCondition
from mxlab.model.duration import Seconds, format_duration
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep
from mxlab.scenario.forms import CONDITION, FORMS, Choice, form_of
from mxlab.scenario.load import VERSION
from mxlab_services.faults.base import Mechanism


def scenario_text(scenario: Scenario, *remarks: str) -> str:
    """The scenario file, with `remarks` as comments on top."""
    content: dict[str, Any] = {"mxlab": VERSION} | _given(
        scenario, "steps", "expect", "id", "origin"
    )
    content["steps"] = [_step(step) for step in scenario.steps]
    content["expect"] = [
        item if isinstance(item, str) else _keyed(item, CONDITION) for item in scenario.expect
    ]
    head = "".join(f"# {line}\n" for remark in remarks for line in remark.splitlines())
    text: str = yaml.safe_dump(
        content, sort_keys=False, default_flow_style=None, width=96, allow_unicode=True
    )
    return head + text


def _step(step: AnyStep) -> dict[str, Any]:
    form = form_of(type(step))
    if step.alone:
        return {step.key: _value(getattr(step, step.alone), form.fields[0].type)}
    if form.choice is None:
        return {step.key: _given(step)}
    own = {f.encode_name: _value(getattr(step, f.name), f.type) for f in form.fields}
    return {step.key: own | _keyed(getattr(step, form.chosen), form.choice)}


def _value(value: Any, kind: Any) -> Any:
    if kind in FORMS:
        return FORMS[kind].write(value)
    return [_step(inner) for inner in value] if isinstance(value, tuple) else value


def _keyed(value: AnyCondition | Mechanism, choice: Choice) -> dict[str, Any]:
    given, short = _given(value), value.short
    return {choice.key(value): given[short] if set(given) == {short} else given}


def _given(value: msgspec.Struct, *without: str) -> dict[str, Any]:
    """The fields that are not at their defaults, as plain data."""
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(value):
        content = getattr(value, field.name)
        if field.name not in without and content != field.default:
            timed = Seconds in (field.type, *typing.get_args(field.type))
            plain = format_duration(content) if timed else _plain(content)
            given[field.encode_name] = plain
    return given


def _plain(content: Any) -> Any:
    if isinstance(content, msgspec.Struct):
        return _given(content)
    if isinstance(content, list | tuple):
        return [_plain(item) for item in content]
    return content
