"""YAML -> Scenario. Every error is a ScenarioError that names file, line, column and key.

A scenario is found by its id among those that ship with mxlab, or by the path of its file or
folder.
"""

import difflib
from pathlib import Path
from typing import Any

import msgspec

from mxlab.assets import assets
from mxlab.errors import ScenarioError, UnknownName, UsageError
from mxlab.faults import problem_of
from mxlab.model.condition import CONDITIONS, AnyCondition, Id
from mxlab.model.duration import parse_duration
from mxlab.model.mechanism import MECHANISMS, Mechanism
from mxlab.model.scenario import Origin, Problem, Scenario, StepPath, problems
from mxlab.model.step import STEPS, AnyStep, Eventually, Fault, Heal, Never, Parallel, Say, Wait
from mxlab.model.step import Python as PythonStep
from mxlab.model.topology import Topology
from mxlab.plan import check_topology
from mxlab.yamlnodes import Tree, parse, read_struct, read_value, unknown_key

VERSION = 1
FILE = "scenario.yaml"


def scenario_ids(folder: Path | None = None) -> list[str]:
    """By name, the scenarios that ship with mxlab and those in `folder`."""
    return sorted({path.parent.name for root in _roots(folder) for path in root.glob(f"*/{FILE}")})


def find(name: str, folder: Path | None = None) -> Path:
    """The file of a scenario: `name` is an id, or the path of a file or of its folder. One in
    `folder` goes before one of the same id that ships with mxlab.

    Raises UnknownName with the nearest id, UsageError for a path that leads to no file.
    """
    path = Path(name)
    if "/" in name or path.suffix in (".yaml", ".yml"):
        path = path / FILE if path.is_dir() else path
        if not path.is_file():
            raise UsageError(f"there is no file {path}", "give a scenario's id or its file")
        return path
    for root in _roots(folder):
        if name and (root / name / FILE).is_file():
            return root / name / FILE
    raise UnknownName("scenario", name, scenario_ids(folder))


def _roots(folder: Path | None) -> list[Path]:
    if folder is None:
        return [assets("scenarios")]
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of scenarios", "see --scenarios, MXLAB_SCENARIOS")
    return [folder, assets("scenarios")]


def load(name: str, folder: Path | None = None) -> Scenario:
    """The scenario called `name`, or in the file `name`. Raises ScenarioError."""
    scenario, tree = read_file(find(name, folder))
    return _sound(scenario, tree)


def loads(text: str, file: str = "<text>", scenario_id: str = "") -> Scenario:
    """The scenario in `text`; `file` is its name in errors."""
    return _sound(*read(text, file, scenario_id))


def read_file(path: Path) -> tuple[Scenario, Tree]:
    """As `read`, from a file. Raises ScenarioError, UsageError if it cannot be read."""
    scenario_id = path.resolve().parent.name if path.name == FILE else path.stem
    return read(_text(path), str(path), scenario_id)


def read(text: str, file: str, scenario_id: str) -> tuple[Scenario, Tree]:
    """The scenario in `text`, of the right types but perhaps with `problems`, and its tree."""
    tree = parse(text, file)
    _version(tree)
    lines: dict[StepPath, int] = {}
    values = read_struct(
        tree,
        Scenario,
        {
            "steps": lambda steps: _steps(steps, lines, ()),
            "expect": _expect,
            "topology": _topology,
        },
        extra=("mxlab",),
        hidden=("origin",),
    )
    values["id"] = values.get("id") or scenario_id
    scenario = Scenario(**values, origin=Origin(file, lines))
    if not scenario.expect:
        tree.at(["expect"]).fail("expects nothing, so it proves nothing", "name a check")
    return scenario, tree


def _sound(scenario: Scenario, tree: Tree) -> Scenario:
    for problem in problems(scenario):
        raise problem_at(tree, problem)
    return scenario


def load_topology(path: Path) -> Topology:
    """The topology in a file of its own. Raises ScenarioError."""
    return _topology(parse(_text(path), str(path)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"not UTF-8 text: {error.reason}", file=str(path)) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _version(tree: Tree) -> None:
    entries = tree.items()
    if "mxlab" not in entries:
        tree.fail("the key `mxlab` is missing", f"start with `mxlab: {VERSION}`")
    version = entries["mxlab"][1]
    if version.plain() != VERSION:
        version.fail(f"version {version.plain()} is not known here", f"write `mxlab: {VERSION}`")


def _topology(tree: Tree) -> Topology:
    topology: Topology = read_value(tree, Topology)
    try:
        check_topology(topology)
    except UsageError as error:
        tree.fail(str(error), error.hint)
    return topology


def _steps(tree: Tree, lines: dict[StepPath, int], above: StepPath) -> tuple[AnyStep, ...]:
    elements = tree.elements()
    if not elements:
        tree.fail("there is no step")
    found = []
    for number, element in enumerate(elements):
        path = (*above, number)
        lines[path] = element.line
        found.append(_step(element, lines, path))
    return tuple(found)


def _step(tree: Tree, lines: dict[StepPath, int], path: StepPath) -> AnyStep:
    key, value = _only_key(tree, STEPS, "step")
    match key:
        case "say":
            return Say(read_value(value, str))
        case "wait":
            return Wait(_duration(value))
        case "heal":
            return Heal(read_value(value, str))
        case "python":
            return PythonStep(_python(value))
        case "parallel":
            return Parallel(_steps(value, lines, path))
        case "fault":
            return _fault(value)
        case "eventually":
            return Eventually(*_condition_with(value, "within"))
        case "never":
            return Never(*_condition_with(value, "during"))
        case _:
            kind = STEPS[key]
            return kind(**read_struct(value, kind, {}))


def _only_key(tree: Tree, known: dict[str, Any], what: str) -> tuple[str, Tree]:
    entries = tree.items()
    for name, (key, _) in entries.items():
        if name not in known:
            unknown_key(key, known)
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
    if target.count(":") != 1 or not target.rpartition(":")[2].isidentifier():
        tree.fail(f"{target!r} names no function", "write file.py:function or module:function")
    return target


def _fault(tree: Tree) -> Fault:
    entries = tree.items()
    if "id" not in entries:
        tree.fail("the key `id` is missing", "a fault has an id, by which it is healed")
    named = [name for name in entries if name != "id"]
    for name in named:
        if name not in MECHANISMS:
            unknown_key(entries[name][0], [*MECHANISMS, "id"])
    if len(named) != 1:
        text = f"a fault has exactly one mechanism, not {len(named)}"
        tree.fail(text, f"one of {', '.join(MECHANISMS)}")
    kind, value = MECHANISMS[named[0]], entries[named[0]][1]
    return Fault(read_value(entries["id"][1], Id), read_mechanism(value, kind))


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
    entries = tree.items()
    if key not in entries:
        tree.fail(f"the key `{key}` is missing", f"add `{key}: 60s`")
    return _condition(tree, (key,)), _duration(entries[key][1])


def _condition(tree: Tree, others: tuple[str, ...] = ()) -> AnyCondition:
    entries = tree.items()
    named = [name for name in entries if name not in others]
    for name in named:
        if name not in CONDITIONS:
            unknown_key(entries[name][0], [*CONDITIONS, *others])
    if len(named) != 1:
        text = f"there must be exactly one condition, not {len(named)}"
        tree.fail(text, f"one of {', '.join(CONDITIONS)}")
    kind, value = CONDITIONS[named[0]], entries[named[0]][1]
    if kind.short and not value.is_mapping:
        return kind(**{kind.short: read_value(value, str)})
    return kind(**read_struct(value, kind, {}))


def _expect(tree: Tree) -> tuple[str | AnyCondition, ...]:
    return tuple(
        _condition(element) if element.is_mapping else read_value(element, str)
        for element in tree.elements()
    )


def problem_at(tree: Tree, problem: Problem) -> ScenarioError:
    """What is wrong, with the place in the file and the nearest of what is known."""
    place = tree.at(problem.path)
    if not problem.name:
        return place.error(problem.text)
    near = difflib.get_close_matches(problem.name, problem.known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    known = f"known: {', '.join(problem.known)}" if problem.known else "there is none at all"
    return place.error(f"{problem.name!r}: {problem.text}", hint + known)
