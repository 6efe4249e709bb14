"""YAML -> Scenario. Every error is a ScenarioError that names file, line, column and key.

A scenario is found by the path of its file or folder, or by its id among those that ship with mxlab
and those in a folder of one's own.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mxlab.assets import assets
from mxlab.errors import Mistakes, ScenarioError, UnknownName, UsageError, nearest
from mxlab.model.condition import AnyCondition, Delivered
from mxlab.model.scenario import Problem, Scenario, SourceFile, StepPath
from mxlab.model.step import AnyStep
from mxlab.model.step import Python as PythonStep
from mxlab.model.topology import Topology
from mxlab.plan.checked import plain_topology, topology_problems
from mxlab.scenario.bounds import MOST_CHARACTERS
from mxlab.scenario.sound import unsound
from mxlab.scenario.steps import read_condition, read_step
from mxlab.scenario.yaml import Reader, Tree, parse, read_fields, read_value
from mxlab.scenario.zones import zone_problems

VERSION = 1
FILE = "scenario.yaml"


def scenario_ids(folder: Path | None = None, file: str = FILE) -> list[str]:
    """By name, the scenarios that ship with mxlab and those in `folder`; or what else stands in a
    file of that name."""
    return sorted({path.parent.name for root in _roots(folder) for path in root.glob(f"*/{file}")})


def find(name: str, folder: Path | None = None) -> Path:
    """The file of a scenario: the first of `candidates`."""
    return candidates(name, folder)[0]


def candidates(name: str, folder: Path | None = None, file: str = FILE) -> list[Path]:
    """Every file that `name` may mean, first the one that is meant: at that path, in a folder of
    that name here, in `folder`, among those that ship with mxlab. `file`: as of `scenario_ids`.

    Raises UnknownName with the nearest id, UsageError for a path that leads to no file.
    """
    path = Path(name)
    kind = "a scenario" if file == FILE else f"an {Path(file).stem}"
    if "/" in name or path.suffix in (".yaml", ".yml"):
        path = path / file if _there(path, Path.is_dir) else path
        if not _there(path, Path.is_file):
            raise UsageError(f"there is no file {path}", f"give {kind}'s id or its file")
        return [path]
    found: dict[Path, Path] = {}
    if name:
        places = [path / file, *(root / name / file for root in _roots(folder)), path]
        for place in places:
            if _there(place, Path.is_file):
                found.setdefault(place.resolve(), place)
    if found:
        return list(found.values())
    if name and _there(path, Path.is_dir):
        raise UsageError(f"the folder {name} has no {file}", f"give {kind}'s id or its file")
    raise UnknownName(kind.rsplit(maxsplit=1)[-1], name, scenario_ids(folder, file))


def _there(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _roots(folder: Path | None) -> list[Path]:
    if folder is None:
        return [assets("scenarios")]
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of scenarios", "see --scenarios, MXLAB_SCENARIOS")
    return [folder, assets("scenarios")]


def load(name: str, folder: Path | None = None) -> Scenario:
    """The scenario called `name`, or in the file `name`. Raises ScenarioError, with every mistake
    that is in the file."""
    return load_file(find(name, folder))


def load_file(path: Path) -> Scenario:
    """The scenario in that file. Raises as `load` does."""
    return survey_file(path).sound()


def loads(text: str, file: str = "<text>", scenario_id: str = "") -> Scenario:
    """The scenario in `text`; `file` is its name in errors."""
    return survey(text, file, scenario_id).sound()


def read(text: str, file: str, scenario_id: str) -> tuple[Scenario, Tree]:
    """The scenario in `text`, of the right types but perhaps with `problems`, and its tree."""
    found = survey(text, file, scenario_id)
    found.mistakes.check()
    assert found.scenario is not None
    return found.scenario, found.tree


@dataclass(frozen=True, slots=True)
class Survey:
    """All that could be read of a scenario file. `mistakes`: the parts that could not. In the place
    of such a step stands one of which nothing is known; `scenario` is None where there is no story.
    `unsure` are words in those parts, where names may be declared; `lab_known`: the topology could
    be read."""

    scenario: Scenario | None
    tree: Tree
    mistakes: Mistakes
    unsure: frozenset[str]
    lab_known: bool

    def problems(self) -> list[Problem]:
        """What is wrong with what could be read."""
        found = unsound(self.scenario, lab_known=self.lab_known) if self.scenario else []
        if self.scenario and self.lab_known:
            found += zone_problems(self.scenario)
        return [problem for problem in found if problem.name not in self.unsure]

    def sound(self) -> Scenario:
        """The scenario. Raises ScenarioError, with everything that is wrong."""
        for problem in self.problems():
            self.mistakes.add(problem_at(self.tree, problem))
        self.mistakes.check()
        assert self.scenario is not None
        return self.scenario


def survey_file(path: Path) -> Survey:
    """As `survey`, of a file. Raises ScenarioError for no YAML, UsageError if it cannot be read."""
    scenario_id = path.resolve().parent.name if path.name == FILE else path.stem
    return survey(read_text(path), str(path), scenario_id)


def survey(text: str, file: str, scenario_id: str) -> Survey:
    """All that can be read of the scenario in `text`. Raises ScenarioError for what is no YAML, or
    of another version."""
    tree = parse(text, file)
    check_version(tree)
    reading = _Reading(SourceFile(file, {}))
    special: dict[str, Reader] = {
        "steps": lambda steps: reading.steps(steps, ()),
        "expect": reading.expect,
        "topology": reading.topology,
    }
    values, mistakes = read_fields(tree, Scenario, special, extra=("mxlab",), hidden=("origin",))
    mistakes.found += reading.mistakes.found
    for key, value in tree.items().values():
        if key.name not in (*values, "mxlab"):  # it may be what declares hosts or batches
            reading.unsure.update(value.words())
    scenario = None
    if "steps" in values:
        whole = {"title": "", "expect": (), **values, "id": values.get("id") or scenario_id}
        scenario = Scenario(**whole, origin=reading.origin)
    return Survey(scenario, tree, mistakes, frozenset(reading.unsure), reading.lab_known)


def load_topology(path: Path) -> Topology:
    """The topology in a file of its own, or in a scenario's file or folder. Raises ScenarioError,
    UsageError if there is none to read."""
    tree = topology_tree(path)
    return Topology() if tree is None else read_topology(tree)


def topology_tree(path: Path) -> Tree | None:
    """Where the topology stands in such a file; None in a scenario that has none. Raises as
    `load_topology` does."""
    path = path / FILE if path.is_dir() else path
    tree = parse(read_text(path), str(path))
    entries = tree.items()
    if "mxlab" not in entries and "steps" not in entries:
        return tree
    check_version(tree)
    return entries["topology"][1] if "topology" in entries else None


def read_text(path: Path) -> str:
    """The text of a file that may be a scenario. Raises UsageError if it cannot be read,
    ScenarioError for what is no text, or too long."""
    most = 4 * MOST_CHARACTERS  # bytes; a device may be without end
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise ScenarioError("too long: no scenario is that large", file=str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        text = f"not UTF-8 text: {error.reason}"
        raise ScenarioError(text, file=str(path), line=line, column=column) from error


def check_version(tree: Tree) -> None:
    """Raise ScenarioError for a file that is of another version of the format, or says none."""
    entries = tree.items()
    if "mxlab" not in entries:
        tree.fail("the key `mxlab` is missing", f"start with `mxlab: {VERSION}`")
    version = entries["mxlab"][1]
    if version.plain() != VERSION:
        version.fail(f"version {version.plain()} is not known here", f"write `mxlab: {VERSION}`")


def read_topology(tree: Tree) -> Topology:
    """The topology in a tree. Raises ScenarioError, with every mistake in it."""
    topology: Topology = read_value(tree, Topology)
    mistakes = Mistakes()
    for problem in topology_problems(topology):
        mistakes.add(problem_at(tree, problem))
    mistakes.check()
    return plain_topology(topology)


class _Reading:
    """Reads a scenario's parts one by one; what is wrong with one does not hide the next."""

    def __init__(self, origin: SourceFile) -> None:
        self.lines: dict[StepPath, int] = {}
        self.origin = SourceFile(origin.file, self.lines)
        self.mistakes = Mistakes()
        self.unsure: set[str] = set()
        self.lab_known = True

    def topology(self, tree: Tree) -> Topology:
        with self._part(tree):
            return read_topology(tree)
        self.lab_known = False
        self.unsure.update(Topology().hosts)
        return Topology()

    def steps(self, tree: Tree, above: StepPath) -> tuple[AnyStep, ...]:
        elements = tree.elements()
        if not elements:
            tree.fail("there is no step")
        found: list[AnyStep] = []
        for number, element in enumerate(elements):
            path = (*above, number)
            self.lines[path] = element.line
            step: AnyStep = PythonStep("")  # of which nothing is known
            with self._part(element):
                step = read_step(element, functools.partial(self.steps, above=path))
            found.append(step)
        return tuple(found)

    def expect(self, tree: Tree) -> tuple[str | AnyCondition, ...]:
        elements = tree.elements()
        if not elements:
            tree.fail("expects nothing, so it proves nothing", "name a check")
        found: list[str | AnyCondition] = []
        for element in elements:
            item: str | AnyCondition = Delivered(element.name)  # a batch that no file can declare
            self.unsure.add(element.name)
            with self._part(element):
                item = read_condition(element) if element.is_mapping else read_value(element, str)
            found.append(item)
        return tuple(found)

    @contextmanager
    def _part(self, tree: Tree) -> Iterator[None]:
        try:
            yield
        except ScenarioError as error:
            self.mistakes.add(error)
            self.unsure.update(tree.words())


def problem_at(tree: Tree, problem: Problem) -> ScenarioError:
    """What is wrong, with the place in the file and the nearest of what is known."""
    place = tree.at(problem.path)
    if not problem.name:
        return place.error(problem.text, problem.hint)
    near = nearest(problem.name, problem.known)
    hint = f"did you mean {near!r}? " if near else ""
    known = f"known: {', '.join(problem.known)}" if problem.known else "there is none at all"
    return place.error(f"{problem.name!r}: {problem.text}", hint + known)
