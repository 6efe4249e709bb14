"""The JSON Schema of a scenario file, made from the model, so that editors complete and check.

It accepts every file that the loader accepts. What a schema cannot say (a batch that nobody sent, a
host that is not there) is the loader's and `mxlab.scenario.lint`'s to find.
"""

from typing import Any

import msgspec

from mxlab.model.condition import CONDITIONS
from mxlab.model.mechanism import MECHANISMS
from mxlab.model.scenario import CHECKS, Scenario
from mxlab.model.step import STEPS, Eventually, Fault, Heal, Never, Parallel, Python, Say, Wait
from mxlab.model.topology import Topology
from mxlab.scenario.load import VERSION

Schema = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
DURATION = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"
FUNCTION = r"^[^:]+:[A-Za-z_]\w*$"
_REF = "#/$defs/{name}"
_OWN_FORM = (Say, Wait, Heal, Fault, Eventually, Never, Parallel, Python)


def scenario_schema() -> Schema:
    """The schema, as plain data."""
    plain = [kind for kind in STEPS.values() if kind not in _OWN_FORM]
    file = _file()
    structs: list[Any] = [file, Topology, *plain, *CONDITIONS.values(), *MECHANISMS.values()]
    _, definitions = msgspec.json.schema_components(structs, ref_template=_REF)
    defs: dict[str, Schema] = {name: _tidy(schema) for name, schema in definitions.items()}
    root = defs.pop(file.__name__)
    root["properties"] = {
        "mxlab": {"const": VERSION, "description": "The version of this format."},
        **root["properties"],
        "steps": {"$ref": "#/$defs/steps"},
        "expect": {"type": "array", "minItems": 1, "items": _expectation()},
    }
    root["properties"]["needs"]["items"] = {"enum": list(MECHANISMS)}
    defs |= {
        "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
        "step": _one_of({key: _step(key) for key in STEPS}),
        "duration": {"type": "string", "pattern": DURATION, "examples": ["500ms", "60s", "2h"]},
    }
    return {
        "$schema": DRAFT,
        **root,
        "title": "An mxlab scenario",
        "description": _words(Scenario),
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


def _step(key: str) -> Schema:
    kind = STEPS[key]
    about = {"description": _words(kind)}
    match key:
        case "say":
            return about | {"type": "string"}
        case "wait":
            return about | {"$ref": "#/$defs/duration"}
        case "heal":
            return about | {"type": "string"}
        case "python":
            return about | {"type": "string", "pattern": FUNCTION}
        case "parallel":
            return about | {"$ref": "#/$defs/steps"}
        case "fault":
            return about | _one_of({name: _mechanism(name) for name in MECHANISMS}, id=_ID)
        case "eventually":
            return about | _one_of(_conditions(), within=_DURATION)
        case "never":
            return about | _one_of(_conditions(), during=_DURATION)
        case _:
            return about | {"$ref": _REF.format(name=kind.__name__)}


_ID = {"type": "string", "pattern": r"^[a-z][a-z0-9_-]{0,40}$"}
_DURATION = {"$ref": "#/$defs/duration"}


def _mechanism(name: str) -> Schema:
    kind = MECHANISMS[name]
    whole = {"$ref": _REF.format(name=kind.__name__)}
    required = [f.name for f in msgspec.structs.fields(kind) if f.required]
    short: list[Schema] = [{"type": "string"}] if set(required) <= {kind.short} else []
    return {"description": _words(kind), "anyOf": [*short, whole]}


def _conditions() -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for key, kind in CONDITIONS.items():
        short: list[Schema] = [{"type": "string"}] if kind.short else []
        whole = {"$ref": _REF.format(name=kind.__name__)}
        found[key] = {"description": _words(kind), "anyOf": [*short, whole]}
    return found


def _expectation() -> Schema:
    return {"anyOf": [{"enum": list(CHECKS)}, _one_of(_conditions())]}


def _one_of(choices: dict[str, Schema], **always: Schema) -> Schema:
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


def _tidy(schema: Any) -> Any:
    """Without what a file cannot say (null) and what an editor need not (defaults of structs)."""
    if isinstance(schema, list | tuple):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "anyOf" in schema:
        some = [item for item in schema["anyOf"] if item != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        if len(some) == 1:
            return _tidy(rest | some[0])
        return _tidy(rest) | {"anyOf": _tidy(some)}
    tidy = {key: _tidy(value) for key, value in schema.items()}
    if isinstance(tidy.get("description"), str):
        tidy["description"] = " ".join(tidy["description"].split())
    if isinstance(tidy.get("default", 0), dict | list) or tidy.get("default", 0) is None:
        del tidy["default"]
    return tidy


def _words(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())
