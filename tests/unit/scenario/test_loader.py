"""Scenario files: what they mean, and what is said of those that mean nothing."""

from pathlib import Path

import pytest

from mxlab.errors import EXIT_USAGE, ScenarioError, UnknownName, UsageError
from mxlab.model.condition import Delivered, Queue
from mxlab.model.duration import format_duration, parse_duration
from mxlab.model.mechanism import Kill
from mxlab.model.scenario import Scenario, fault_kinds
from mxlab.model.step import Eventually, Fault, Heal, Parallel, Say, Send, Wait
from mxlab.model.topology import Exchange
from mxlab.scenario.load import find, load, load_topology, loads, scenario_ids
from mxlab.scenario.sound import unsound

BAD = sorted((Path(__file__).parents[2] / "badconfigs").glob("*/scenario.yaml"))
GOOD = """
mxlab: 1
title: t
needs: [pause]
topology: {mx: [{host: a, preference: 10}, {host: b, preference: 20}]}
steps:
  - say: hello
  - parallel:
      - fault: {id: down, kill: a}
      - wait: 1h30m
  - send: {id: batch, count: 3, from: alice@client.test, to: [b@example.test, c@example.test]}
  - eventually: {within: 60s, queue: {host: b, holds: batch}}
  - heal: down
expect: [nothing-lost, {delivered: batch}]
"""


@pytest.mark.parametrize("path", BAD, ids=[path.parent.name for path in BAD])
def test_a_broken_file_is_refused_with_file_line_and_key(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with pytest.raises(ScenarioError) as caught:
        load("scenario.yaml")
    expected = (path.parent / "expected.txt").read_text().splitlines()
    told = [f"{error} [{error.hint}]" for error in caught.value.every]
    for one, line in zip(told, expected, strict=True):
        start, _, hint = line.partition(" ... ")
        assert one.startswith(start)
        assert hint in one
    assert caught.value.exit_code == EXIT_USAGE


def test_there_are_many_broken_files() -> None:
    assert len(BAD) >= 20


def test_the_loader_builds_what_python_builds() -> None:
    loaded = loads(GOOD)
    steps = (
        Say("hello"),
        Parallel((Fault("down", Kill("a")), Wait(5400.0))),
        Send("batch", "alice@client.test", ("b@example.test", "c@example.test"), count=3),
        Eventually(Queue("b", holds="batch"), 60.0),
        Heal("down"),
    )
    assert loaded.steps == steps
    assert loaded.topology.mx == (Exchange("a", 10), Exchange("b", 20))
    assert loaded.expect == ("nothing-lost", Delivered("batch"))
    assert fault_kinds(loaded) == ("pause", "kill")


def test_every_step_knows_its_line() -> None:
    loaded = loads(GOOD, "x.yaml")
    assert loaded.place((0,)) == "x.yaml:7"
    assert loaded.place((1, 1)) == "x.yaml:10"


def test_a_hint_names_the_nearest_key() -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(GOOD.replace("say:", "sya:"))
    assert "did you mean `say`?" in caught.value.hint


def test_each_element_of_a_list_is_looked_at() -> None:
    text = GOOD.replace("to: [b@example.test, c@example.test]", "to: [b, 3, c@example.test, null]")
    text = text.replace("heal: down", "dns: {add: [1, x, [y]]}").replace("[pause]", "[1, kil, [x]]")
    with pytest.raises(ScenarioError) as caught:
        loads(text, "x")
    names = [error.text.partition(":")[0] for error in caught.value.every]
    assert names == [f"`{key}`" for key in (
        "needs[1]", "needs[3]", "to[1]", "to[2]", "to[4]", "add[1]", "add[3]",
    )]  # fmt: skip


def test_a_hint_names_the_nearest_host() -> None:
    topology = "{host: primary, preference: 10}"
    text = GOOD.replace("{host: a, preference: 10}", topology).replace("kill: a", "kill: primry")
    with pytest.raises(ScenarioError) as caught:
        loads(text)
    assert "did you mean 'primary'?" in caught.value.hint


def test_a_scenario_made_in_python_is_checked_likewise() -> None:
    wrong = Scenario(title="t", steps=(Heal("nothing"),), expect=("nothing-lost",))
    assert [problem.path for problem in unsound(wrong)] == [("steps", 0, "heal")]


def test_the_scenarios_that_ship_load_and_have_their_lesson() -> None:
    assert {"primary-outage", "primary-hang", "no-backup", "both-down"} <= set(scenario_ids())
    for name in scenario_ids():
        assert load(name).id == name
        assert (find(name).parent / "README.md").is_file()


def test_an_unknown_scenario_names_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        load("primary-outrage")
    assert "did you mean 'primary-outage'?" in caught.value.hint


def test_a_path_that_leads_nowhere_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        load(str(tmp_path / "absent.yaml"))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_bytes(b"mxlab: 1\ntitle: \xff\n")
    with pytest.raises(ScenarioError, match="not UTF-8"):
        load(str(path))


def test_a_topology_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "topology.yaml"
    path.write_text("mx: [{host: one, preference: 5}]\nschedule: postfix\n")
    assert load_topology(path).mx == (Exchange("one", 5),)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("60s", 60), ("2h", 7200), ("1h30m", 5400), ("5d", 432000), ("1.5s", 1.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "5x", "-5s", "5s!", "h5"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)
