"""Settings of a running node as people write them (`timeouts.greeting=5m`), for the command and for
the step: what a node takes, and what is wrong with the rest. Pure."""

import typing
from collections.abc import Iterable
from typing import Any

import msgspec

from mxlab.errors import UsageError, nearest
from mxlab.model.duration import parse_duration
from mxlab_services.errors import ConfigError
from mxlab_services.queue.retry import SCHEDULES
from mxlab_services.settings import changeable, checked_value

NOTHING = "null"
_NUMBER = r"^(null|[0-9.eE+-]+)$"
_DURATION_OR_NUMBER = r"^(null|[0-9.eE+-]+|(\d+(\.\d+)?(ms|s|m|h|d))+)$"
_DURATIONS = ("retry.lifetime", "retry.warning")


def setting_value(key: str, given: object, known: Iterable[str] = ()) -> Any:
    """The value as a node takes it. Raises UsageError: with the nearest of the keys that can be
    changed and of those `known` beside them, or with what the setting may be."""
    kinds = changeable()
    if key not in kinds:
        near = nearest(key, {*kinds, *known})
        hint = f"did you mean {near!r}? " if near else ""
        text = f"no setting that can be changed is called {key[:60]!r}"
        raise UsageError(text, f"{hint}known: {', '.join(kinds)}")
    try:
        value = _read(key, given) if isinstance(given, str) else given
        made = checked_value(key, value)
    except (ConfigError, ValueError) as error:
        text = str(error).removeprefix(f"`{key}`: ")
        raise UsageError(f"{key}: {text}", f"it may be {allowed(key)}") from error
    if key == "retry.schedule" and made not in SCHEDULES:
        near = nearest(made, SCHEDULES)
        hint = f"did you mean {near!r}? " if near else ""
        text = f"{key}: no retry schedule is called {made[:40]!r}"
        raise UsageError(text, f"{hint}it may be {allowed(key)}")
    return made


def allowed(key: str) -> str:
    """What the setting may be."""
    kind = changeable()[key]
    optional = f", or {NOTHING} for none of its own" if type(None) in typing.get_args(kind) else ""
    if key == "retry.schedule":
        return f"one of {', '.join(SCHEDULES)}"
    if key == "recipients":
        return f"addresses with commas between, or {NOTHING} for any"
    if _is_duration(key):
        return f"a duration (500ms, 60s, 2h) or seconds, above 0{optional}"
    if key == "retry.jitter":
        return f"a share, 0 to 1{optional}"
    return "a whole number, 1 or more"


def setting_schema(key: str) -> dict[str, Any]:
    """The JSON Schema of the values that may be written for the setting."""
    value: dict[str, Any] = {"type": "integer", "minimum": 1}
    text = _NUMBER
    if key == "retry.schedule":
        return {"enum": list(SCHEDULES)}
    if key == "recipients":
        value, text = {"type": "array", "items": {"type": "string"}}, ""
    elif _is_duration(key):
        value, text = {"type": "number", "minimum": 0}, _DURATION_OR_NUMBER
    elif key == "retry.jitter":
        value = {"type": "number", "minimum": 0, "maximum": 1}
    return {"description": allowed(key), "anyOf": [value, {"type": "string", "pattern": text}]}


def written(value: Any) -> str:
    """A value as it can be given again."""
    match value:
        case None:
            return NOTHING
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.12g}"
        case list():
            return ",".join(map(str, value))
        case _:
            return str(value)


def _is_duration(key: str) -> bool:
    return key.startswith("timeouts.") or key in _DURATIONS


def _read(key: str, text: str) -> Any:
    if text == NOTHING:
        return None
    if key == "recipients":
        return [address.strip() for address in text.split(",") if address.strip()]
    if _is_duration(key) and not _number(text):
        return parse_duration(text)
    return msgspec.json.decode(text) if _number(text) else text


def _number(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), int | float)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
