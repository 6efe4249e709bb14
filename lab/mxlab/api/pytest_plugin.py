"""For pytest: a running lab as a fixture, and scenario files as tests.

Nothing of it runs unless a fixture or `--mxlab-scenarios` is used; everything heavy is loaded then.
Each worker of pytest-xdist has a lab of its own.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mxlab.api.pytest_lab import AsyncDesk, PytestLabs
    from mxlab.api.running_lab import RunningLab
    from mxlab.api.testing import LabDesk
    from mxlab.errors import LabError
    from mxlab.model.scenario import Scenario
    from mxlab.runner.result import RunResult

FILE = "scenario.yaml"
MARKER = (
    "mxlab(topology=..., mx=2, domain=..., schedule=..., tls=True, time_scale=1, software={'mx2': "
    "'postfix'}): the lab that this test, class or module wants; tests that want the same share one"
)
DESK: "pytest.StashKey[LabDesk]" = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mxlab", "a miniature mail system")
    group.addoption(
        "--mxlab-backend",
        metavar="NAME",
        default=None,
        help="In which backend the lab is (process), and scenarios run (theirs, or process): "
        "docker, process, or sim, which is for scenarios only.",
    )
    group.addoption(
        "--mxlab-scenarios",
        action="append",
        default=[],
        metavar="DIR",
        help=f"Collect every {FILE} below DIR as a test. May be given repeatedly.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    if config.getoption("--mxlab-backend") is not None:
        _check_backend(config.getoption("--mxlab-backend"))
    for root in _roots(config):
        if not root.is_dir():
            raise pytest.UsageError(f"--mxlab-scenarios: {root} is no folder")
        given = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
        if not any(root.is_relative_to(path) for path in given):
            config.args.append(str(root))


def _check_backend(name: str) -> None:
    from mxlab.backends.registry import known  # whoever names none loads nothing of mxlab
    from mxlab.errors import UnknownName

    try:
        known(name)
    except UnknownName as error:
        raise pytest.UsageError(f"--mxlab-backend: {error}; {error.hint}") from error


def _roots(config: pytest.Config) -> list[Path]:
    folder = config.invocation_params.dir
    return [(folder / text).resolve() for text in config.getoption("--mxlab-scenarios")]


# --- fixtures ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mxlab_options() -> dict[str, Any]:
    """What all labs of the session have in common: override it to change the default lab. The keys
    are those of the marker `mxlab`."""
    return {}


@pytest.fixture(scope="session")
def mxlab_labs(
    request: pytest.FixtureRequest, mxlab_options: dict[str, Any]
) -> "Iterator[PytestLabs]":
    """The labs of the session, each brought up when a test first wants it."""
    from mxlab.api.pytest_lab import PytestLabs
    from mxlab.backends.registry import LASTING, backend_named

    backend = request.config.getoption("--mxlab-backend") or "process"
    if backend not in LASTING:
        raise pytest.UsageError("the time of a simulated lab is not real: no program can use it")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with PytestLabs(lambda: backend_named(backend), f"pytest-{worker}", mxlab_options) as labs:
        yield labs


@pytest.fixture(scope="session")
def mxlab_lab(mxlab_labs: "PytestLabs") -> "RunningLab":
    """A lab that is up for the whole session: DNS, two exchanges (mx1, mx2) and a client, unless
    `mxlab_options` says otherwise."""
    return mxlab_labs.lab({})


@pytest.fixture
def mxlab(request: pytest.FixtureRequest) -> "Iterator[LabDesk]":
    """The lab as if it were this test's alone; faults, mail and zones are put right after it. With
    the marker `mxlab` it is one of the shape that the marker says."""
    from mxlab.api.testing import LabDesk

    marker = request.node.get_closest_marker("mxlab")
    if marker is None:
        lab = request.getfixturevalue("mxlab_lab")
    else:
        if marker.args:
            raise pytest.UsageError(f"the marker takes names: {MARKER}")
        lab = request.getfixturevalue("mxlab_labs").lab(marker.kwargs)
    desk = request.node.stash[DESK] = LabDesk(lab)
    try:
        yield desk
    finally:
        desk.close()


@pytest.fixture
def mxlab_async(mxlab: "LabDesk") -> "AsyncDesk":
    """The same for `async def` tests: what waits is awaited, and the test's own loop goes on."""
    from mxlab.api.pytest_lab import AsyncDesk

    return AsyncDesk(mxlab)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """With a test that failed: what became of its messages."""
    outcome = yield
    report = outcome.get_result()
    desk = item.stash.get(DESK, None)
    if report.when == "call" and report.failed and desk is not None:
        from mxlab.visible import visible_text

        if told := desk.stories():
            report.sections.append(
                ("mxlab: what became of the mail", visible_text("\n\n".join(told)))
            )


# --- scenario files ------------------------------------------------------------------------------


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name != FILE:
        return None
    roots = _roots(parent.config)
    if not any(file_path.resolve().is_relative_to(root) for root in roots):
        return None
    return ScenarioFile.from_parent(parent, path=file_path)


class ScenarioFile(pytest.File):
    """A scenario file: one test."""

    def collect(self) -> "Iterable[ScenarioItem]":
        from mxlab.errors import LabError
        from mxlab.scenario.load import load

        try:
            scenario = load(str(self.path))
        except LabError as error:
            raise self.CollectError(_words(error)) from error
        yield ScenarioItem.from_parent(self, name=scenario.id, scenario=scenario)


def _words(error: "LabError") -> str:
    """What is wrong and what to do next; of a scenario file, all that is wrong."""
    from mxlab.errors import ScenarioError

    every = error.every if isinstance(error, ScenarioError) else (error,)
    return "\n".join(text for one in every for text in (str(one), one.hint) if text)


class ScenarioFailed(Exception):
    """A scenario's verdict was not PASS."""

    def __init__(self, result: "RunResult") -> None:
        super().__init__(str(result.verdict))
        self.result = result


class ScenarioItem(pytest.Item):
    """A scenario, run in a lab of its own."""

    def __init__(self, *, scenario: "Scenario", **more: Any) -> None:
        super().__init__(**more)
        self._scenario = scenario

    def runtest(self) -> None:
        import asyncio

        from mxlab.api.run import run
        from mxlab.backends.registry import first_here, told_in
        from mxlab.errors import Unsupported
        from mxlab.model.finding import Verdict

        names = told_in(self._scenario, self.config.getoption("--mxlab-backend"))
        if "process" in names:
            names = ("process",)
        backend = asyncio.run(first_here(names, lambda _: None))[0].name
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        name = f"pytest-{worker}-{secrets.token_hex(4)}"
        try:
            result = run(self._scenario, backend, lab=name)
        except Unsupported as error:
            pytest.skip(str(error))
        if result.verdict is not Verdict.PASS:
            raise ScenarioFailed(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from mxlab.errors import LabError
        from mxlab.report.text import text

        match excinfo.value:
            case ScenarioFailed(result=result):
                return text(result)
            case LabError() as error:
                return _words(error)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"scenario {self._scenario.id}: {self._scenario.title}"
