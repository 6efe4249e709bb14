"""What a word means: of the glossary, of codes, and of mxlab's own language. Pure.

One word may mean several things: a fault and a scenario, say. All are found.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

import msgspec

from mxlab.audit.page import rule_lines
from mxlab.audit.rule import audit_rules
from mxlab.checks.registry import CHECKS
from mxlab.errors import UsageError, nearest
from mxlab.glossary.codes import meaning_of
from mxlab.glossary.entry import Term
from mxlab.model.condition import AnyCondition
from mxlab.model.mechanism import MECHANISMS
from mxlab.model.step import AnyStep
from mxlab_services.events import KINDS


@dataclass(frozen=True, slots=True)
class Explained:
    """One meaning of a word: what kind of thing it is, and lines of text about it."""

    title: str
    lines: tuple[str, ...]


def explain(word: str, glossary: Mapping[str, Term], stories: Mapping[str, str]) -> list[Explained]:
    """All that the word means. `stories`: scenarios, id -> title. Raises UnknownName with the
    nearest of all that is known."""
    wanted = word.strip().casefold()
    found = [
        Explained(f"{entry.term}", tuple(entry_lines(entry)))
        for name, entry in glossary.items()
        if wanted in (name, *(other.casefold() for other in entry.names))
    ]
    if (meanings := meaning_of(wanted)) is not None:
        found.append(Explained(f"the code {wanted}", tuple(meanings)))
    found += [Explained(title, lines) for key, title, lines in _language(stories) if key == wanted]
    if not found:
        near = nearest(wanted, known(glossary, stories))
        hint = f"did you mean {near!r}? " if near else ""
        raise UsageError(
            f"no term is called {word!r}", hint + "`mxlab explain --list` has them all"
        )
    return found


def known(glossary: Mapping[str, Term], stories: Mapping[str, str]) -> list[str]:
    """Every word that has a meaning here, but for codes."""
    return sorted({*glossary, *(key for key, _, _ in _language(stories))})


def entry_lines(entry: Term) -> Iterator[str]:
    """An entry in lines."""
    yield entry.meaning
    if entry.like:
        yield f"It is like this: {entry.like}"
    for command in entry.see:
        yield f"$ {command}"
    for label, text in (
        ("In practice", entry.do), ("A mistake", entry.mistake), ("Section", entry.section),
        ("See also", ", ".join(entry.related)), ("Scenarios", ", ".join(entry.scenarios)),
        ("Also called", ", ".join(entry.also)),
    ):  # fmt: skip
        if text:
            yield f"{label}: {text}"


def _language(stories: Mapping[str, str]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The words of mxlab's own: key, title, lines."""
    for check in CHECKS.values():
        yield check.name, f"the check {check.name}", (check.meaning + ".", check.fails)
    for name, rule in audit_rules().items():
        yield name, f"the rule {name}", tuple(rule_lines(rule))
    for kind, body in KINDS.items():
        yield kind, f"the event {kind}", (_doc(body),)
    for kind, mechanism in MECHANISMS.items():
        yield (
            kind,
            f"the fault {kind}",
            (_doc(mechanism), "Where it works: `mxlab doctor --faults`."),
        )
    yield from _keys("step", get_args(AnyStep))
    yield from _keys("condition", get_args(AnyCondition))
    for name, title in stories.items():
        yield name, f"the scenario {name}", (f"{title}.", f"$ mxlab scenario show {name}")


def _keys(
    what: str, kinds: Iterable[type[msgspec.Struct]]
) -> Iterator[tuple[str, str, tuple[str]]]:
    for kind in kinds:
        key = str(getattr(kind, "key", ""))
        if key:
            yield key, f"the {what} {key}", (_doc(kind),)


def _doc(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())
