"""Scenarios as YAML that the loader reads back to the same scenario; findings as such files."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from mxlab.model.condition import AnyCondition
from mxlab.model.duration import format_duration
from mxlab.model.mechanism import Mechanism
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep, Eventually, Fault, Heal, Never, Parallel, Python, Say, Wait
from mxlab.scenario.load import VERSION

if TYPE_CHECKING:
    from mxlab.chaos.tally import Tally


def write_finding(tally: "Tally", seed: int, path: Path) -> str:
    """Write what was found to `path`; answers the command that plays it again."""
    trial = tally.found
    if trial is None:
        raise ValueError("nothing was found")
    replay = shlex.join(["mxlab", "run", str(path), "--backend", "sim"])
    broken = ", ".join(finding.check for finding in trial.wrong)
    scenario = trial.schedule.scenario(
        f"Found by chaos: {broken}",
        f"Chaos with seed {seed} found it in run {tally.found_after}, and made it smaller.",
    )
    words = [f"{finding.check}: {finding.text}" for finding in trial.wrong]
    path.write_text(scenario_text(scenario, *words, f"again: {replay}"), encoding="utf-8")
    return replay


def scenario_text(scenario: Scenario, *remarks: str) -> str:
    """The scenario file, with `remarks` as comments on top."""
    content: dict[str, Any] = {"mxlab": VERSION} | _given(
        scenario, "steps", "expect", "id", "origin"
    )
    content["steps"] = [_step(step) for step in scenario.steps]
    content["expect"] = [
        item if isinstance(item, str) else _condition(item) for item in scenario.expect
    ]
    head = "".join(f"# {line}\n" for remark in remarks for line in remark.splitlines())
    text: str = yaml.safe_dump(
        content, sort_keys=False, default_flow_style=None, width=96, allow_unicode=True
    )
    return head + text


def _given(value: msgspec.Struct, *without: str) -> dict[str, Any]:
    """The fields that are not at their defaults, as plain data."""
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(value):
        content = getattr(value, field.name)
        if field.name not in without and content != field.default:
            given[field.encode_name] = _plain(content)
    return given


def _plain(content: Any) -> Any:
    if isinstance(content, msgspec.Struct):
        return _given(content)
    if isinstance(content, list | tuple):
        return [_plain(item) for item in content]
    return content


def _step(step: AnyStep) -> dict[str, Any]:
    match step:
        case Say(text=text):
            return {step.key: text}
        case Wait(seconds=seconds):
            return {step.key: format_duration(seconds)}
        case Heal(fault=name):
            return {step.key: name}
        case Fault(id=name, mechanism=mechanism):
            return {step.key: {"id": name, mechanism.kind: _mechanism(mechanism)}}
        case Eventually(condition=condition, within=within):
            return {step.key: {"within": format_duration(within), **_condition(condition)}}
        case Never(condition=condition, during=during):
            return {step.key: {"during": format_duration(during), **_condition(condition)}}
        case Python(target=target):
            return {step.key: target}
        case Parallel(steps=steps):
            return {step.key: [_step(inner) for inner in steps]}
        case _:
            return {step.key: _given(step)}


def _mechanism(mechanism: Mechanism) -> str | dict[str, Any]:
    given, short = _given(mechanism), mechanism.short
    return given[short] if set(given) == {short} else given


def _condition(condition: AnyCondition) -> dict[str, Any]:
    given = _given(condition)
    short = condition.short
    return {condition.key: given[short] if short and set(given) == {short} else given}
