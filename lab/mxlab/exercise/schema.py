"""The JSON Schema of an exercise's file, so that editors complete and check: the scenario's, and
what an exercise has beside it. Wherever a value may stand, `{name}` may stand in its place."""

from typing import Any

import msgspec

from mxlab.exercise.load import GOAL, QUESTION
from mxlab.model.answer import QUESTIONS, Fixed
from mxlab.model.exercise import (
    KINDS,
    Exercise,
    Finish,
    Hint,
    NumberRange,
    PredictTask,
    ProveTask,
    Task,
    Teacher,
    Wrong,
)
from mxlab.model.goal import GOALS, OWN_GOALS
from mxlab.scenario.forms import Schema
from mxlab.scenario.load import VERSION
from mxlab.scenario.schema import DRAFT, expectation, keyed, one_of, scenario_schema, tidy, words

_REF = "#/$defs/{name}"
_PLACEHOLDER = r"\{[a-z][a-z0-9_]*\}"


def exercise_schema() -> Schema:
    """The schema, as plain data."""
    story = scenario_schema()
    kinds = (*OWN_GOALS.values(), *QUESTIONS.values(), Teacher, NumberRange)
    _, found = msgspec.json.schema_components(kinds, ref_template=_REF)
    defs = {**story["$defs"], **{name: tidy(schema) for name, schema in found.items()}}
    defs |= {
        "goal": _goal(),
        "question": _question(),
        "wishes": {
            "anyOf": [_ref("goal"), {"type": "array", "minItems": 1, "items": _ref("goal")}]
        },
        "steps": {**story["$defs"]["steps"], "minItems": 0},
        "expect": {"type": "array", "items": expectation()},
        "task": _task(),
    }
    return {
        "$schema": DRAFT,
        "title": "An mxlab exercise",
        "description": words(Exercise),
        "type": "object",
        "properties": _top(story),
        "required": ["mxlab", "exercise", "minutes", "tasks"],
        "additionalProperties": False,
        "$defs": {name: _loose(schema) for name, schema in defs.items()},
    }


def _top(story: Schema) -> Schema:
    own = ("title", "tasks", "teacher", "topology", "draw", "setup", "finish")
    hidden = ("origin", "seed", "values")
    fields = [f for f in msgspec.structs.fields(Exercise) if f.name not in (*own, *hidden)]
    plain = msgspec.defstruct("Plain", [(f.name, f.type, f.default) for f in fields])
    _, found = msgspec.json.schema_components([plain], ref_template=_REF)
    properties: Schema = tidy(found["Plain"])["properties"]
    choice = {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    }
    return {
        "mxlab": {"const": VERSION, "description": "The version of this format."},
        "exercise": {"type": "string", "description": "Its title."},
        **{key: _loose(schema) for key, schema in properties.items()},
        "topology": _loose(story["properties"]["topology"]),
        "draw": {
            "type": "object",
            "additionalProperties": {"anyOf": [choice, _ref("NumberRange")]},
        },
        "teacher": _ref("Teacher"),
        "setup": _ref("steps"),
        "tasks": {"type": "array", "minItems": 1, "items": _ref("task")},
        "finish": _object(Finish, expect=_ref("expect"), text={"type": "string"}),
    }


def _task() -> Schema:
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    typed = {"anyOf": [text, {"type": "number"}]}
    hint = _object(Hint, text=text, when=_ref("wishes"))
    wrong = _object(Wrong, text=text, do=texts, answer=typed, when=_ref("wishes"))
    judged = {
        "answer": _ref("question"),
        "predict": _object(PredictTask, question=text, answer=_ref("question"), after=text),
        "done": _ref("wishes"),
        "never": _ref("wishes"),
        "prove": _object(ProveTask, steps=_ref("steps"), expect=_ref("expect")),
    }
    found = _object(
        Task,
        id=text,
        text=text,
        hints={"type": "array", "items": {"anyOf": [text, hint]}},
        solution=texts,
        wrong={"type": "array", "items": wrong},
        same={"type": "boolean"},
    )
    found["properties"] |= {
        key: {"description": words(kind), **judged[key]} for key, kind in KINDS.items()
    }
    found["required"] = ["id"]
    return found | {"oneOf": [{"required": [key]} for key in KINDS]}


def _goal() -> Schema:
    found = one_of(keyed(GOAL))
    found["properties"]["not"] = one_of(
        {key: {"description": words(kind)} for key, kind in GOALS.items()}
    )
    return found


def _question() -> Schema:
    found = one_of(keyed(QUESTION))
    typed: Schema = {"anyOf": [{"type": "string"}, {"type": "number"}]}
    several: Schema = {"type": "array", "minItems": 1, "items": typed}
    whole: Schema = {
        "type": "object",
        "properties": {"words": {"anyOf": [typed, several]}},
        "required": ["words"],
        "additionalProperties": False,
    }
    about = {"description": words(Fixed)}
    found["properties"][Fixed.key] = about | {"anyOf": [typed, several, whole]}
    return found


def _object(kind: type[msgspec.Struct], **properties: Schema) -> Schema:
    required = [f.encode_name for f in msgspec.structs.fields(kind) if f.required]
    return {
        "type": "object",
        "description": words(kind),
        "properties": properties,
        "required": [key for key in required if key in properties],
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": _REF.format(name=name)}


def _loose(schema: Any) -> Any:
    """The same, with `{name}` in the place of every number, choice or text of a pattern."""
    if isinstance(schema, list):
        return [_loose(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _loose(value) for key, value in schema.items()}
    bound = schema.get("type") in ("integer", "number") or "pattern" in schema or "enum" in schema
    if not bound or not isinstance(schema.get("type", ""), str):
        return inner
    about = {"description": inner.pop("description")} if "description" in inner else {}
    return about | {"anyOf": [inner, {"type": "string", "pattern": _PLACEHOLDER}]}
