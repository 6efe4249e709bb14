"""What a rule is, and what trying it can come to. Each rule is declared once, above its check."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from mxlab_services.control.peers import PeerRule

Kind = Literal["kept", "broken", "differs", "unseen"]
Side = Literal["takes", "sends"]
KINDS: dict[Kind, str] = {
    "kept": "kept",
    "broken": "broken",
    "differs": "differs",
    "unseen": "cannot be seen",
}
C = TypeVar("C")
SECONDS = 30.0  # real seconds that one rule may take, unless it says otherwise


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a rule: `found` says what the server did, or why nothing can be said."""

    kind: Kind
    found: str = ""


def kept(found: str = "") -> Judgement:
    """The server does what the rule says."""
    return Judgement("kept", found)


def broken(found: str) -> Judgement:
    """It does what the rule forbids."""
    return Judgement("broken", found)


def differs(found: str) -> Judgement:
    """It does otherwise than most, which the standard permits."""
    return Judgement("differs", found)


def unseen(why: str) -> Judgement:
    """From where we stand nothing can be said."""
    return Judgement("unseen", why)


class Obstacle(Exception):
    """A rule cannot be tried: what comes before it did not go as it should."""


@dataclass(frozen=True, slots=True)
class ConformRule(Generic[C]):
    """`id` begins with the rule's number in docs/rules.md (`s` where that page has none: the
    grammar of a session); `source` is where it is written; `tried`: what is done to see it.
    `side`: whether the server takes mail there or sends it. `alone`: it disturbs the others, and
    runs after them. `seconds`: the time it may take. `script`: what it wants of which peer."""

    id: str
    source: str
    tried: str
    side: Side
    check: Callable[[C], Awaitable[Judgement]]
    seconds: float = SECONDS
    alone: bool = False
    script: tuple[tuple[str, PeerRule], ...] = ()


class Book(Generic[C]):
    """The rules of one side, by id, in the order of their declarations."""

    def __init__(self, side: Side) -> None:
        self.side: Side = side
        self.rules: dict[str, ConformRule[C]] = {}

    def rule(
        self, name: str, source: str, tried: str, **more: Any
    ) -> Callable[[Callable[[C], Awaitable[Judgement]]], Callable[[C], Awaitable[Judgement]]]:
        """Declare the function below as the check of a rule."""

        def declare(
            check: Callable[[C], Awaitable[Judgement]],
        ) -> Callable[[C], Awaitable[Judgement]]:
            self.add(ConformRule(name, source, tried, self.side, check, **more))
            return check

        return declare

    def add(self, rule: ConformRule[C]) -> None:
        """Raises ValueError where the id is taken."""
        if rule.id in self.rules:
            raise ValueError(f"two rules are called {rule.id}")
        self.rules[rule.id] = rule
