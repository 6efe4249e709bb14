"""The settings of a node, each by a dotted key (`limits.message_size`): listed and changed. Pure.

Guarantee: what comes of a change is a configuration with which the node could have been started. No
key, password or secret is among what is listed.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import FieldInfo, fields

from mxlab_services.address import problem_of
from mxlab_services.config import Limits, MtaConfig, NodeConfig, RetryConfig, Timeouts
from mxlab_services.control.replies import Setting
from mxlab_services.errors import ConfigError

SECRET = frozenset(("key", "password", "secret"))
HIDDEN = "(not shown)"
_AT_START = "it is decided when the lab comes up, by its topology and by the options of `mxlab up`"
_FIXED = {
    "zones": "zones are changed by `mxlab zone`",
    "tls": "certificates are made when the lab comes up, where its topology says `tls: true`",
}


@functools.cache
def changeable() -> Mapping[str, Any]:
    """The keys of an MTA's settings that can be changed while it runs, each with its type."""
    found: dict[str, Any] = {
        f"{name}.{field.name}": field.type
        for name, kind in (("timeouts", Timeouts), ("limits", Limits), ("retry", RetryConfig))
        for field in fields(kind)
    }
    return found | {f.name: f.type for f in fields(MtaConfig) if f.name == "recipients"}


def why_fixed(config: NodeConfig, key: str) -> str:
    """Why the node's setting cannot be changed while it runs; empty where it can."""
    if isinstance(config, MtaConfig) and key in changeable():
        return ""
    return _FIXED.get(key.partition(".")[0], _AT_START)


def settings(config: NodeConfig) -> list[Setting]:
    """All settings of a node, in the order of its configuration."""
    return [
        Setting(key, value, default, not known or value != default, why_fixed(config, key))
        for key, value, default, known in _listed(config, None, "")
    ]


def changed(config: MtaConfig, values: Mapping[str, Any]) -> MtaConfig:
    """The configuration with these settings. Raises ConfigError: which key, and what it may be."""
    for key, value in values.items():
        checked = checked_value(key, value)
        part, _, name = key.partition(".")
        if name:
            checked = msgspec.structs.replace(getattr(config, part), **{name: checked})
        config = msgspec.structs.replace(config, **{part: checked})
    return config


def checked_value(key: str, value: Any) -> Any:
    """The value in the type of its setting. Raises ConfigError."""
    kinds = changeable()
    if key not in kinds:
        raise ConfigError(f"no setting that can be changed is called {key!r}")
    try:
        made = msgspec.convert({"value": value}, _box(kinds[key])).value
    except msgspec.ValidationError as error:
        said = str(error).partition(" - at `$")[0]
        raise ConfigError(f"`{key}`: {said[0].lower()}{said[1:]}") from error
    for address in made or () if key == "recipients" else ():
        if wrong := problem_of(address):
            raise ConfigError(f"`{key}`: {address[:80]!r} is no mail address: {wrong.text}")
    return made


@functools.cache
def _box(kind: Any) -> Any:
    return msgspec.defstruct("Box", [("value", kind)])


_fields = functools.cache(fields)


def _listed(
    value: msgspec.Struct, default: Any, prefix: str
) -> Iterator[tuple[str, Any, Any, bool]]:
    """Key, value, default, and whether there is a default, of all that is in `value`."""
    for field in _fields(type(value)):
        content, usual, known = getattr(value, field.name), *_default(field, default)
        key = f"{prefix}{field.name}"
        if isinstance(content, msgspec.Struct):
            yield from _listed(content, usual, f"{key}.")
        else:
            yield key, _shown(field.name, content), _shown(field.name, usual), known


def _default(field: FieldInfo, default: Any) -> tuple[Any, bool]:
    """The default of a field of a struct that has itself a default, or None."""
    if default is not None:
        return getattr(default, field.name), True
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory(), True
    return (None, False) if field.required else (field.default, True)


def _shown(name: str, content: Any) -> Any:
    """A value as JSON has it. Of a mapping (zones, users) the names alone are shown."""
    if name in SECRET and content is not None:
        return HIDDEN
    if isinstance(content, str) and "-----BEGIN" in content:
        return HIDDEN
    if isinstance(content, Mapping):
        return sorted(content)
    if isinstance(content, list | tuple | frozenset | set):
        return [str(getattr(one, one.__struct_fields__[0])) if isinstance(one, msgspec.Struct)
                else one for one in content]  # fmt: skip
    return content
