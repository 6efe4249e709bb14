"""Steps, faults and conditions as a scenario file writes them: a tree -> the model's values.

Each reader raises ScenarioError, with all the mistakes in its part.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from mxlab.errors import Mistakes
from mxlab.model.condition import AnyCondition
from mxlab.model.step import STEPS, AnyStep
from mxlab.scenario.forms import CONDITION, FAULT, FORMS, Choice, StepForm, form_of
from mxlab.scenario.yaml import Reader, Tree, read_struct, read_value, unknown_key
from mxlab_services.faults.base import Mechanism


def read_step(tree: Tree, inner: Reader) -> AnyStep:
    """The step in a mapping of one key; `inner` reads the steps inside one."""
    key, value = only_key(tree, STEPS, "a step has exactly one key")
    kind = STEPS[key]
    form = form_of(kind)
    if kind.alone:
        (field,) = form.fields
        return kind(**{field.name: _reader(field.type, inner)(value)})
    if form.choice is None:
        special = {f.name: FORMS[f.type].read for f in form.fields if f.type in FORMS}
        return kind(**read_struct(value, kind, special))
    return kind(**_fields_beside(value, form, form.choice))


def read_condition(tree: Tree) -> AnyCondition:
    """The condition in a mapping of one key."""
    found: AnyCondition = _chosen(tree, CONDITION, ())
    return found


def read_mechanism(tree: Tree, kind: type[Mechanism]) -> Mechanism:
    """A fault's parameters."""
    found: Mechanism = read_keyed(tree, kind, FAULT)
    return found


def _reader(kind: Any, inner: Reader) -> Reader:
    """How the one value of a step is read: a text, if it is neither of a form nor made of steps."""
    if kind in FORMS:
        return FORMS[kind].read
    return inner if kind == tuple[AnyStep, ...] else lambda tree: read_value(tree, str)


def only_key(
    tree: Tree, known: Iterable[str], rule: str, beside: tuple[str, ...] = ()
) -> tuple[str, Tree]:
    """The one key but for those in `beside`, as `rule` has it, and its value."""
    entries, mistakes = tree.items(), Mistakes()
    named = [name for name in entries if name not in beside]
    for name in named:
        if name not in known:
            with mistakes.noted():
                unknown_key(entries[name][0], [*known, *beside])
    mistakes.check()
    if len(named) != 1:
        tree.fail(f"{rule}, not {len(named)}", f"one of {', '.join(known)}")
    return named[0], entries[named[0]][1]


def _fields_beside(tree: Tree, form: StepForm, choice: Choice) -> dict[str, Any]:
    """The fields of a step by name, with the one that is chosen among its keys."""
    entries, mistakes, values = tree.items(), Mistakes(), dict[str, Any]()
    for field in form.fields:
        key, own = field.encode_name, FORMS[field.type]
        with mistakes.noted():
            if key not in entries:
                tree.fail(f"the key `{key}` is missing", f"add `{key}: {own.example}`")
            values[field.name] = own.read(entries[key][1])
    with mistakes.noted():
        beside = tuple(field.encode_name for field in form.fields)
        values[form.chosen] = _chosen(tree, choice, beside)
    mistakes.check()
    return values


def _chosen(tree: Tree, choice: Choice, beside: tuple[str, ...]) -> Any:
    key, value = only_key(tree, choice.kinds, choice.rule, beside)
    return read_keyed(value, choice.kinds[key], choice)


def read_keyed(tree: Tree, kind: type[Any], choice: Choice) -> Any:
    """A condition, a fault or a question: a mapping, or its field that may stand alone."""
    if tree.is_mapping or not kind.short:
        values = read_struct(tree, kind, {})
    else:
        values = {kind.short: read_value(tree, str)}
        for field in msgspec.structs.fields(kind):
            if field.required and field.name not in values:
                text = f"the key `{field.name}` is missing"
                tree.fail(text, f"write {{{kind.short}: {values[kind.short]}, {field.name}: ...}}")
    found = kind(**values)
    if wrong := choice.problem(found):
        tree.fail(wrong)
    return found
