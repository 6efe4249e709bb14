"""How steps, conditions and faults stand in a file: one table for loader, schema and writer.

What a step is made of is declared in `model.step`; here stands how each type of field is read and
written, and what a schema says of it. What is not in the table is as msgspec has it.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mxlab.model.condition import CONDITIONS, AnyCondition
from mxlab.model.duration import Seconds, format_duration
from mxlab.model.mechanism import MECHANISMS
from mxlab.model.reference import Id
from mxlab.model.step import Function, MailFile, Step
from mxlab.scenario.functions import HINT, path_problem, target_problem
from mxlab.scenario.yaml import Reader, Tree, read_duration, read_value
from mxlab_services.faults.base import Mechanism
from mxlab_services.faults.kinds import problem

Schema = dict[str, Any]
DURATION = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"
FUNCTION = r"^[^:]+:[A-Za-z_]\w*$"


def _read_function(tree: Tree) -> str:
    target: str = read_value(tree, str)
    if wrong := target_problem(target, Path(tree.file).parent):
        tree.fail(wrong, HINT)
    return target


def _read_mail_file(tree: Tree) -> str:
    path: str = read_value(tree, str)
    if wrong := path_problem(path, Path(tree.file).parent) if path else "no file":
        tree.fail(wrong, "write the path of a file beside the scenario's")
    return path


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of a type stand in a file; `example` is one, for hints."""

    read: Reader
    write: Callable[[Any], Any]
    schema: Schema
    example: str


FORMS: Mapping[Any, Form] = {
    Seconds: Form(
        read_duration,
        format_duration,
        {"type": "string", "pattern": DURATION, "examples": ["500ms", "60s", "2h"]},
        "60s",
    ),
    Function: Form(_read_function, str, {"type": "string", "pattern": FUNCTION}, HINT),
    MailFile: Form(_read_mail_file, str, {"type": "string", "minLength": 1}, "message.eml"),
    Id: Form(
        lambda tree: read_value(tree, Id), str, msgspec.json.schema(Id), "outage"
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """A field of one of several `kinds`, whose key and value stand among its step's own keys.
    `rule` says so; `problem` finds what no type can tell of a value."""

    kinds: Mapping[str, type[Any]]
    rule: str
    key: Callable[[Any], str]
    problem: Callable[[Any], str | None] = lambda _: None


CONDITION = Choice(CONDITIONS, "there must be exactly one condition", lambda value: value.key)
FAULT = Choice(MECHANISMS, "a fault has exactly one mechanism", lambda value: value.kind, problem)
_CHOICES: Mapping[Any, Choice] = {AnyCondition: CONDITION, Mechanism: FAULT}


@dataclass(frozen=True, slots=True)
class StepForm:
    """How a step stands in a file. `fields`: those of its own keys; `chosen`: the field for which
    `choice` stands beside them, if one does."""

    fields: tuple[msgspec.structs.FieldInfo, ...]
    chosen: str = ""
    choice: Choice | None = None


@functools.cache
def form_of(kind: type[Step]) -> StepForm:
    """How steps of that kind stand in a file; of one with a field `alone`, that field."""
    fields = msgspec.structs.fields(kind)
    if kind.alone:
        return StepForm(tuple(field for field in fields if field.name == kind.alone))
    for field in fields:
        if (choice := _CHOICES.get(field.type)) is not None:
            others = tuple(other for other in fields if other is not field)
            return StepForm(others, field.name, choice)
    return StepForm(fields)
