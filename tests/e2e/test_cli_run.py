"""`mxlab run`: verdicts, exit codes and reports, in the simulation and as local processes."""

import os
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree as Xml

import msgspec
import pytest
from typer.testing import CliRunner

from mxlab.backends.process.folder import state_root
from mxlab.cli import app
from tests.support.command import MXLAB, SECONDS, STORY, run

FAILING = STORY.replace("all-delivered", "queued-at-backup")
NOTHING = """\
mxlab: 1
title: Nothing happens
steps:
  - say: nothing
expect: [nothing-lost]
"""
HANGING = STORY.replace("within: 30s, delivered: one", "within: 10h, bounced: one")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    own = {
        "MXLAB_STATE_DIR": str(tmp_path),
        "DOCKER_HOST": f"unix://{tmp_path}/no-engine.sock",
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MXLAB_BACKEND", raising=False)
    return dict(os.environ)


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.yaml"
    path.write_text(STORY)
    return path


@pytest.mark.usefixtures("environment")
class TestVerdicts:
    def test_a_pass_is_0(self, story: Path) -> None:
        assert "PASSED" in run(story, "--backend", "sim").stdout

    def test_a_failure_is_1(self, story: Path) -> None:
        story.write_text(FAILING)
        result = run(story, "--backend", "sim", code=1)
        assert "FAILED by queued-at-backup" in result.stdout
        assert "again: mxlab run" in result.stdout

    def test_nothing_to_look_at_is_4(self, story: Path) -> None:
        story.write_text(NOTHING)
        assert "INCONCLUSIVE" in run(story, "--backend", "sim", code=4).stdout

    def test_of_several_the_worst_counts(self, story: Path, tmp_path: Path) -> None:
        bad = tmp_path / "bad.yaml"
        bad.write_text(FAILING)
        reports = tmp_path / "junit.xml", tmp_path / "report.json"
        result = run(
            *(story, bad, "--backend", "sim", "--junit", reports[0], "--report", reports[1]),
            code=1,
        )
        assert "PASSED" in result.stdout
        suites = Xml.parse(reports[0]).getroot()
        assert [suite.get("failures") for suite in suites] == ["0", "1"]
        documents = msgspec.json.decode(reports[1].read_bytes())
        assert [document["verdict"] for document in documents] == ["pass", "fail"]

    def test_without_an_engine_processes_are_used_and_told(self, story: Path) -> None:
        result = run(story, "--json")
        assert msgspec.json.decode(result.stdout)["backend"] == "process"
        assert "local processes, because no Docker engine runs at" in result.stderr
        assert list(state_root().iterdir()) == []

    def test_a_kept_lab_is_named(self, story: Path) -> None:
        result = run(story, "--backend", "process", "--keep", "--lab", "kept")
        assert "`mxlab down kept` removes it" in result.stderr
        down = CliRunner().invoke(app, ["down", "kept"])
        assert "removed process mx1" in down.stdout


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["primary-outige"], 2, "did you mean 'primary-outage'?"),
        (["STORY", "--backend", "simm"], 2, "did you mean 'sim'?"),
        (["STORY", "--backend", "docker"], 3, "no Docker engine runs at"),
        (["STORY", "--time-scale", "-1"], 2, "above 0"),
        (["STORY", "STORY", "--lab", "x"], 2, "--lab"),
        (["STORY", "--backend", "sim", "--keep"], 2, "--keep"),
        (["STORY", "--junit", "/none/junit.xml"], 2, "/none"),
        (["STORY", "--report", "FOLDER"], 2, "is a folder"),
        (["BROKEN"], 2, "broken.yaml:4"),
        ([], 2, "SCENARIO"),
    ],
)
def test_bad_input(story: Path, tmp_path: Path, words: list[str], code: int, said: str) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(STORY.replace("send:", "sedn:"))
    places = {"STORY": story, "FOLDER": tmp_path, "BROKEN": broken}
    result = run(*(places.get(word, word) for word in words), code=code)
    assert said in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_130_and_leaves_nothing(
    story: Path, environment: dict[str, str], number: signal.Signals
) -> None:
    story.write_text(HANGING)
    with subprocess.Popen(
        [*MXLAB, "run", str(story), "--backend", "process"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if line.startswith("[2/2]"):
                break
        process.send_signal(number)
        said = "".join(seen) + process.stderr.read()
        process.wait(SECONDS)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert list(state_root().iterdir()) == []


def test_a_killed_run_is_cleared_by_down(story: Path, environment: dict[str, str]) -> None:
    story.write_text(HANGING)
    with subprocess.Popen(
        [*MXLAB, "run", str(story), "--backend", "process", "--lab", "dead"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any(line.startswith("[2/2]") for line in process.stderr)
        process.kill()
    down = CliRunner().invoke(app, ["down", "--all"])
    assert down.exit_code == 0
    assert "removed process mx1" in down.stdout
    assert list(state_root().iterdir()) == []
