"""Which scenario is meant by a name, and where it is played."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mxlab.backends.registry import told_in
from mxlab.cli import app
from mxlab.errors import UnknownName, UsageError
from mxlab.model.scenario import BackendName, Scenario
from mxlab.model.topology import Exchange, Topology
from mxlab.plan.checked import checked_topology
from mxlab.scenario.load import candidates, find, load_topology

STORY = """\
mxlab: 1
title: The one HERE
topology: {mx: [{host: one, preference: 5}]}
steps:
  - send: {id: batch, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 2m, delivered: batch}
expect: [nothing-lost]
"""


def story(folder: Path, word: str) -> Path:
    folder.mkdir(parents=True)
    file = folder / "scenario.yaml"
    file.write_text(STORY.replace("HERE", word))
    return file


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.delenv("MXLAB_SCENARIOS", raising=False)
    monkeypatch.delenv("MXLAB_BACKEND", raising=False)
    return place


def mxlab(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize(
    "name", ["x", "x/", "./x", "x/scenario.yaml", "./x/./scenario.yaml", "{}/x", "{}/x/"]
)
def test_a_folder_is_the_scenario_in_it(here: Path, name: str) -> None:
    story(here / "x", "here")
    name = name.format(here)
    assert "x: The one here" in mxlab("scenario", "show", name).stdout
    assert "nothing to be mended" in mxlab("scenario", "lint", name).stderr
    run = mxlab("run", "--backend", "sim", name)
    assert "PASS" in run.stdout
    assert "mxlab: " not in run.stderr  # nothing was open to doubt


def test_from_within_the_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story(here / "x", "here")
    monkeypatch.chdir(here / "x")
    for name in (".", "./", "scenario.yaml", "../x"):
        assert "x: The one here" in mxlab("scenario", "show", name).stdout


def test_a_file_without_an_ending(here: Path) -> None:
    story(here / "x", "here").rename(here / "y")
    assert "y: The one here" in mxlab("scenario", "show", "y").stdout


def test_the_folder_here_goes_first_and_that_is_said(here: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    options = ("--scenarios", str(own))
    story(own / "null-mx", "among mine")
    shown = mxlab("scenario", "show", "null-mx", *options)
    assert "The one among mine" in shown.stdout
    assert "null-mx is" in shown.stderr
    mine = story(here / "null-mx", "here")
    for words in (("scenario", "show"), ("scenario", "lint"), ("run", "--backend", "sim")):
        shown = mxlab(*words, "null-mx", *options)
        told = [line for line in shown.stderr.splitlines() if "null-mx is" in line]
        assert [str(mine.relative_to(here)) in line for line in told] == [True, True]
        assert str(own / "null-mx" / "scenario.yaml") in told[0]
    assert "The one here" in mxlab("scenario", "show", "null-mx").stdout


def test_the_same_file_by_two_ways_is_no_doubt(here: Path) -> None:
    (here / "null-mx").symlink_to(find("null-mx").parent)
    assert len(candidates("null-mx")) == 1
    assert len(candidates("null-mx", here)) == 1


@pytest.mark.parametrize("name", ["", "x", "x/", "z.yaml", "x/y", "n" * 300, "n" * 300 + "/x"])
def test_what_is_not_there(here: Path, name: str) -> None:
    (here / "x").mkdir()
    (here / "z.yaml").mkdir()
    with pytest.raises(UsageError):
        find(name)
    mxlab("run", name, code=2)


def test_a_folder_that_holds_none_says_so(here: Path) -> None:
    (here / "x").mkdir()
    (here / "null-mx").mkdir()
    with pytest.raises(UsageError, match=r"the folder x has no scenario\.yaml"):
        find("x")
    assert find("null-mx").parent != here / "null-mx"
    with pytest.raises(UnknownName):
        find("y")


def test_two_files_have_their_mistakes_told_together(here: Path) -> None:
    for name in ("x", "y"):
        file = story(here / name, "here")
        file.write_text(file.read_text().replace("title", "titel"))
    said = mxlab("run", "x", "y", code=2).stderr
    assert "x/scenario.yaml:2:1: `titel`" in said
    assert "y/scenario.yaml:2:1: `titel`" in said


@pytest.mark.parametrize("name", ["x", "x/scenario.yaml"])
def test_a_scenario_gives_its_topology(here: Path, name: str) -> None:
    file = story(here / "x", "here")
    assert load_topology(Path(name)).mx == (Exchange("one", 5),)
    assert "one" in mxlab("export", "compose", "--topology", name).stdout
    file.write_text(STORY.replace("topology:", "# topology:"))
    assert load_topology(Path(name)) == Topology()
    file.write_text(STORY.replace("host: one", "host: One"))
    assert ":3:24: `host`" in mxlab("up", "--topology", name, code=2).stderr


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("a" * 64 + ".test", "at most 63 each"),
        (f"{'a' * 63}." * 4 + "test", "253"),
        ("a..test", "is not a domain"), ("-a.test", "no hyphen"), ("a-.test", "no hyphen"),
        ("", "is not a domain"), ("a b.test", "is not a domain"), ("a\x1b.test", "not a domain"),
        (f"{'abcdefghi.' * 24}example.test", "is called dns.abcdefghi"),
    ],
)  # fmt: skip
def test_a_domain_that_cannot_be_is_refused_before_anything_starts(domain: str, said: str) -> None:
    told = mxlab("up", "--domain", domain, code=2).stderr
    assert said in told
    assert "\x1b" not in told


@pytest.mark.parametrize(
    ("backends", "prefers", "wish", "told"),
    [
        ((), None, None, ("docker", "process")),
        ((), "sim", None, ("sim",)),
        ((), "sim", "process", ("process",)),
        ((), "sim", "auto", ("docker", "process")),
        (("sim",), None, None, ("sim",)),
        (("sim",), None, "auto", ("sim",)),
        (("sim",), None, "docker", ("docker",)),  # and is refused there
        (("process",), None, None, ("process",)),
        (("sim", "process"), None, None, ("process", "sim")),
        (("docker", "sim"), None, None, ("docker", "sim")),
        (("process", "docker"), None, None, ("docker", "process")),
        (("sim", "process", "docker"), "process", None, ("process",)),
    ],
)
def test_it_is_told_where_it_can_be_told(
    backends: tuple[BackendName, ...],
    prefers: BackendName | None,
    wish: str | None,
    told: tuple[str, ...],
) -> None:
    scenario = Scenario(title="t", steps=(), expect=(), backends=backends, backend=prefers)
    assert told_in(scenario, wish) == told


def test_a_story_for_the_simulation_alone_is_played_there(here: Path) -> None:
    file = story(here / "x", "here")
    file.write_text(file.read_text().replace("steps:", "backends: [sim]\nsteps:"))
    assert "sim" in mxlab("run", "x").stdout
    assert "would use: sim" in mxlab("run", "x", "--dry-run").stdout
    assert "not for process" in mxlab("run", "x", "--backend", "process", code=3).stderr


def test_a_story_is_played_in_the_first_of_its_backends_that_can_be_had(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{here}/no-engine.sock")
    file = story(here / "x", "here")
    file.write_text(file.read_text().replace("steps:", "backends: [docker, sim]\nsteps:"))
    run = mxlab("run", "x")
    assert "PASS" in run.stdout
    assert "mxlab: the simulation, because no Docker engine" in run.stderr
    assert "would use: sim" in mxlab("run", "x", "--dry-run").stdout
    assert "no Docker engine" in mxlab("run", "x", "--backend", "docker", code=3).stderr


@pytest.mark.parametrize(
    ("topology", "said"),
    [
        (Topology(domain="a" * 64 + ".test"), "domain: 'aaa"),
        (Topology(client_domain="-x.test"), "client_domain: '-x.test' is not a domain"),
        (Topology(mx=(Exchange("mx1", 10), Exchange("MX 2", 20))), r"mx\[1\]\.host: 'MX 2' is not"),
        (Topology(mx=(Exchange("mx1", -1),)), r"mx\[0\]\.preference: expected a whole number >= 0"),
        (Topology(mx=()), "mx: expected a list of length >= 1"),
        (Topology(jitter=2.0), "jitter: expected a number <= 1"),
        (Topology(schedule="postfx"), "no retry schedule is called 'postfx'"),
    ],
)
def test_a_topology_made_in_python_is_held_to_the_same(topology: Topology, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checked_topology(topology)
