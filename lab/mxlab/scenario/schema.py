"""The JSON Schema of a scenario file, made from the model, so that editors complete and check.

It accepts every file that the loader accepts. What a schema cannot say (a batch that nobody sent, a
host that is not there) is the loader's and `mxlab.scenario.lint`'s to find.
"""

from typing import Any

import msgspec

from mxlab.checks.registry import CHECKS
from mxlab.model.condition import CONDITIONS
from mxlab.model.duration import Seconds
from mxlab.model.mechanism import MECHANISMS
from mxlab.model.scenario import Scenario
from mxlab.model.step import STEPS, AnyStep, Config, Step
from mxlab.model.topology import Topology
from mxlab.scenario.forms import CONDITION, FORMS, Choice, Schema, form_of
from mxlab.scenario.load import VERSION
from mxlab.scenario.settings import setting_schema
from mxlab_services.settings import changeable

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/{name}"


def scenario_schema() -> Schema:
    """The schema, as plain data."""
    plain = [k for k in STEPS.values() if not k.alone and form_of(k).choice is None]
    file = _file()
    structs: list[Any] = [file, Topology, *plain, *CONDITIONS.values(), *MECHANISMS.values()]
    _, definitions = msgspec.json.schema_components(structs, ref_template=_REF)
    defs: dict[str, Schema] = {name: tidy(schema) for name, schema in definitions.items()}
    for kind in MECHANISMS.values():  # which the key above it says
        del defs[kind.__name__]["properties"]["kind"]
        defs[kind.__name__]["required"].remove("kind")
    defs[Config.__name__]["properties"]["set"] = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {key: setting_schema(key) for key in changeable()},
    }
    root = defs.pop(file.__name__)
    root["properties"] = {
        "mxlab": {"const": VERSION, "description": "The version of this format."},
        **root["properties"],
        "steps": {"$ref": "#/$defs/steps"},
        "expect": {"type": "array", "minItems": 1, "items": expectation()},
    }
    root["properties"]["needs"]["items"] = {"enum": list(MECHANISMS)}
    defs |= {
        "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
        "step": one_of({key: _step(kind) for key, kind in STEPS.items()}),
        "duration": FORMS[Seconds].schema,
    }
    return {
        "$schema": DRAFT,
        **root,
        "title": "An mxlab scenario",
        "description": words(Scenario),
        "required": ["mxlab", "title", "steps", "expect"],
        "$defs": defs,
    }


def _file() -> Any:
    """A struct of what is plain at the top of a file."""
    own = ("steps", "expect", "origin")
    fields = [f for f in msgspec.structs.fields(Scenario) if f.name not in own]
    return msgspec.defstruct(
        "ScenarioFile",
        [
            (f.name, f.type) if f.required else (f.name, f.type, f.default)
            for f in fields
        ],
        forbid_unknown_fields=True,
        kw_only=True,
    )  # fmt: skip


def _step(kind: type[Step]) -> Schema:
    about, form = {"description": words(kind)}, form_of(kind)
    own = {field.encode_name: _field(field.type) for field in form.fields}
    if kind.alone:
        return about | own[kind.alone]
    if form.choice is None:
        return about | {"$ref": _REF.format(name=kind.__name__)}
    return about | one_of(keyed(form.choice), **own)


def _field(kind: Any) -> Schema:
    if kind == Seconds:
        return {"$ref": "#/$defs/duration"}
    if kind == tuple[AnyStep, ...]:
        return {"$ref": "#/$defs/steps"}
    return FORMS[kind].schema if kind in FORMS else {"type": "string"}


def keyed(choice: Choice) -> dict[str, Schema]:
    """By key, a mapping or the one field that may stand alone."""
    found: dict[str, Schema] = {}
    for key, kind in choice.kinds.items():
        required = {field.name for field in msgspec.structs.fields(kind) if field.required}
        alone = bool(kind.short) and required <= {kind.short}
        short: list[Schema] = [{"type": "string"}] if alone else []
        whole = {"$ref": _REF.format(name=kind.__name__)}
        found[key] = {"description": words(kind), "anyOf": [*short, whole]}
    return found


def expectation() -> Schema:
    """A check's name, or a condition."""
    return {"anyOf": [{"enum": list(CHECKS)}, one_of(keyed(CONDITION))]}


def one_of(choices: dict[str, Schema], **always: Schema) -> Schema:
    """A mapping with the keys in `always` and exactly one of `choices`."""
    number = len(always) + 1
    return {
        "type": "object",
        "properties": {**always, **choices},
        "required": list(always),
        "minProperties": number,
        "maxProperties": number,
        "additionalProperties": False,
    }


def tidy(schema: Any) -> Any:
    """Without what a file cannot say (null) and what an editor need not (defaults of structs)."""
    if isinstance(schema, list | tuple):
        return [tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("title") == "duration":  # as it stands in a file: the type has no other title
        rest = {key: value for key, value in schema.items() if key not in ("type", "title")}
        return tidy(rest) | {"$ref": "#/$defs/duration"}
    if "anyOf" in schema:
        some = [item for item in schema["anyOf"] if item != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        if len(some) == 1:
            return tidy(rest | some[0])
        return tidy(rest) | {"anyOf": tidy(some)}
    found = {key: tidy(value) for key, value in schema.items()}
    if isinstance(found.get("description"), str):
        found["description"] = " ".join(found["description"].split())
    if isinstance(found.get("default", 0), dict | list) or found.get("default", 0) is None:
        del found["default"]
    return found


def words(kind: type) -> str:
    """What its docstring says, in one line."""
    return " ".join((kind.__doc__ or "").split())
