"""Steps, faults and conditions as a scenario file writes them: a tree -> the model's values.

Each reader raises ScenarioError, with all the mistakes in its part.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from mxlab.errors import Mistakes
from mxlab.faults import problem_of
from mxlab.model.condition import CONDITIONS, AnyCondition, Id
from mxlab.model.duration import parse_duration
from mxlab.model.mechanism import MECHANISMS, Mechanism
from mxlab.model.step import STEPS, AnyStep, Eventually, Fault, Heal, Never, Say, Wait
from mxlab.model.step import Python as PythonStep
from mxlab.scenario.functions import HINT, target_problem
from mxlab.scenario.yaml import Tree, read_struct, read_value, unknown_key


def read_step(key: str, value: Tree) -> AnyStep:
    """The step called `key`, but for `parallel`. Raises ScenarioError, with all its mistakes."""
    match key:
        case "say":
            return Say(read_value(value, str))
        case "wait":
            return Wait(_duration(value))
        case "heal":
            return Heal(read_value(value, str))
        case "python":
            return PythonStep(_python(value))
        case "fault":
            return _fault(value)
        case "eventually":
            return Eventually(*_condition_with(value, "within"))
        case "never":
            return Never(*_condition_with(value, "during"))
        case _:
            kind = STEPS[key]
            return kind(**read_struct(value, kind, {}))


def only_key(tree: Tree, known: Iterable[str], what: str) -> tuple[str, Tree]:
    """The one key that is wanted, and its value."""
    entries, mistakes = tree.items(), Mistakes()
    for name, (key, _) in entries.items():
        if name not in known:
            with mistakes.noted():
                unknown_key(key, known)
    mistakes.check()
    if len(entries) != 1:
        tree.fail(f"a {what} has exactly one key, not {len(entries)}", f"one of {', '.join(known)}")
    (name,) = entries
    return name, entries[name][1]


def _duration(tree: Tree) -> float:
    text = tree.plain()
    if not isinstance(text, str):
        tree.fail(f"{text!r} is no duration: it lacks its unit", "write 500ms, 60s, 2h or 5d")
    try:
        return parse_duration(text)
    except ValueError as error:
        tree.fail(str(error))


def _python(tree: Tree) -> str:
    target: str = read_value(tree, str)
    if wrong := target_problem(target, Path(tree.file).parent):
        tree.fail(wrong, HINT)
    return target


def _fault(tree: Tree) -> Fault:
    entries, mistakes = tree.items(), Mistakes()
    name, mechanism = "", None
    with mistakes.noted():
        if "id" not in entries:
            tree.fail("the key `id` is missing", "a fault has an id, by which it is healed")
        name = read_value(entries["id"][1], Id)
    with mistakes.noted():
        key, value = _only_other(tree, ("id",), MECHANISMS, "a fault has exactly one mechanism")
        mechanism = read_mechanism(value, MECHANISMS[key])
    mistakes.check()
    assert mechanism is not None
    return Fault(name, mechanism)


def _only_other(
    tree: Tree, others: tuple[str, ...], known: Iterable[str], rule: str
) -> tuple[str, Tree]:
    """The one key beside `others`, and its value."""
    entries, mistakes = tree.items(), Mistakes()
    named = [name for name in entries if name not in others]
    for name in named:
        if name not in known:
            with mistakes.noted():
                unknown_key(entries[name][0], [*known, *others])
    mistakes.check()
    if len(named) != 1:
        tree.fail(f"{rule}, not {len(named)}", f"one of {', '.join(known)}")
    return named[0], entries[named[0]][1]


def read_mechanism(tree: Tree, kind: type[Mechanism]) -> Mechanism:
    """A fault's parameters: a mapping, or its one most telling field alone."""
    if tree.is_mapping:
        values = read_struct(tree, kind, {})
    else:
        values = {kind.short: read_value(tree, str)}
        for field in msgspec.structs.fields(kind):
            if field.required and field.name not in values:
                text = f"the key `{field.name}` is missing"
                tree.fail(text, f"write {{{kind.short}: {values[kind.short]}, {field.name}: ...}}")
    mechanism = kind(**values)
    wrong = problem_of(mechanism)
    if wrong:
        tree.fail(wrong)
    return mechanism


def _condition_with(tree: Tree, key: str) -> tuple[AnyCondition, float]:
    entries, mistakes = tree.items(), Mistakes()
    seconds, condition = 0.0, None
    with mistakes.noted():
        if key not in entries:
            tree.fail(f"the key `{key}` is missing", f"add `{key}: 60s`")
        seconds = _duration(entries[key][1])
    with mistakes.noted():
        condition = read_condition(tree, (key,))
    mistakes.check()
    assert condition is not None
    return condition, seconds


def read_condition(tree: Tree, others: tuple[str, ...] = ()) -> AnyCondition:
    """The condition in a mapping, beside the keys `others`. Raises ScenarioError."""
    rule = "there must be exactly one condition"
    key, value = _only_other(tree, others, CONDITIONS, rule)
    kind = CONDITIONS[key]
    if kind.short and not value.is_mapping:
        return kind(**{kind.short: read_value(value, str)})
    return kind(**read_struct(value, kind, {}))
