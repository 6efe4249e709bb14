"""The rules of operation, as they are written: each declared once, in `rules/`, a file a chapter.

How a rule is judged is in `exchanges`, `backup`, `naming` and `hosts`, under the same id.
"""

import functools
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Any, Literal

import msgspec
import yaml

Level = Literal["error", "warning", "note"]
LEVELS: Mapping[Level, str] = {
    "error": "mail is lost, returned or misused because of it",
    "warning": "the next outage, move or abuse does harm because of it",
    "note": "worth knowing; there may be a reason for it",
}
_CHAPTERS = ("exchanges", "backup", "names", "hosts")

Said = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Command = Annotated[str, msgspec.Meta(pattern="^mxlab ", max_length=200)]


class RuleCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to look for it by hand: what people complain of, what to type, how to read it, and the
    remedy. `shows`: a pattern that the answer has while the rule is broken, and not else."""

    symptom: Said
    command: Command
    read: Said
    remedy: Said
    shows: Said


class RuleTry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How to see it in a lab: in this `topology` (else the default one), `breaks` breaks
    the rule and `mends` mends it. Where the topology itself breaks it, `mended` keeps it;
    of what only a zone file shows, `zone` breaks it and `mended_zone` keeps it. `scale`: seconds of
    lab time in a real one."""

    topology: dict[str, Any] = {}
    breaks: tuple[Command, ...] = ()
    mends: tuple[Command, ...] = ()
    mended: dict[str, Any] | None = None
    zone: str = ""
    mended_zone: str = ""
    scale: float = 1.0


class AuditRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule. `why`: RFC or practice; `broken`: what happens then, as `scenario` shows it;
    `kept`: what it looks like; the last three: the same in the words of other mail servers."""

    title: Said
    level: Level
    rule: Said
    why: Said
    broken: Said
    scenario: str
    kept: Said
    check: RuleCheck
    seen: RuleTry
    postfix: Said
    exim: Said
    opensmtpd: Said


class Chapter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules that belong together, by id."""

    title: Said
    rules: dict[str, AuditRule]


@functools.cache
def chapters() -> tuple[Chapter, ...]:
    """All rules, in the order in which the guidelines have them."""
    folder = files("mxlab.audit").joinpath("rules")
    return tuple(
        msgspec.convert(yaml.safe_load(folder.joinpath(f"{name}.yaml").read_bytes()), Chapter)
        for name in _CHAPTERS
    )


@functools.cache
def audit_rules() -> Mapping[str, AuditRule]:
    """Every rule by its id."""
    return {name: rule for chapter in chapters() for name, rule in chapter.rules.items()}
