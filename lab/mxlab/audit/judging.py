"""How a set-up is held against the rules: what a judge finds, and what that comes to. Pure.

Guarantee: a rule counts as kept only where its judge looked at something, and saw all there is to.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mxlab.audit.rule import AuditRule, Level, audit_rules
from mxlab.audit.setup import AuditSetup
from mxlab.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Flaw:
    """What breaks a rule, and where."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Sound:
    """What was looked at, and is as the rule says."""

    text: str


@dataclass(frozen=True, slots=True)
class Unseen:
    """What the rule is about, and cannot be seen here, and why."""

    text: str


Seen = Flaw | Sound | Unseen
Judge = Callable[[AuditSetup], Iterator[Seen]]
Outcome = Literal["broken", "kept", "not seen"]
JUDGES: dict[str, Judge] = {}


def judges(rule: str) -> Callable[[Judge], Judge]:
    """Declare the function below as the judge of a rule."""

    def declare(judge: Judge) -> Judge:
        if rule in JUDGES:
            raise ValueError(f"two judges of {rule}")
        JUDGES[rule] = judge
        return judge

    return declare


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What a rule came to: `flaws` where it is broken, else what was looked at, or what was not."""

    id: str
    rule: AuditRule
    flaws: tuple[Flaw, ...]
    sound: tuple[str, ...]
    unseen: tuple[str, ...]

    @property
    def outcome(self) -> Outcome:
        """Broken, kept, or not seen."""
        if self.flaws:
            return "broken"
        return "kept" if self.sound and not self.unseen else "not seen"

    @property
    def level(self) -> Level:
        """How bad it is if it is broken."""
        return self.rule.level


def known_rules(names: Sequence[str]) -> Sequence[str]:
    """The names. Raises UnknownName for one that no rule has."""
    rules = audit_rules()
    for name in names:
        if name not in rules:
            raise UnknownName("rule", name, rules)
    return names


def hold(setup: AuditSetup, only: Sequence[str] = ()) -> list[RuleOutcome]:
    """The set-up by these rules, or by all. Raises UnknownName."""
    known_rules(only)
    return [
        _outcome(name, rule, JUDGES[name](setup))
        for name, rule in audit_rules().items()
        if not only or name in only
    ]


def _outcome(name: str, rule: AuditRule, found: Iterable[Seen]) -> RuleOutcome:
    flaws: dict[Flaw, None] = {}
    sound: dict[str, None] = {}
    unseen: dict[str, None] = {}
    for one in found:
        match one:
            case Flaw():
                flaws[one] = None
            case Sound(text):
                sound[text] = None
            case Unseen(text):
                unseen[text] = None
    if not (flaws or sound or unseen):
        unseen["there is nothing here that it could be about"] = None
    return RuleOutcome(name, rule, tuple(flaws), tuple(sound), tuple(unseen))
