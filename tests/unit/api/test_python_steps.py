"""A Python step that goes wrong fails that step, with the author's line; the lab is healed and
removed all the same."""

import functools
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.cli import app
from mxlab.errors import ScenarioError
from mxlab.model.finding import Verdict
from mxlab.model.mechanism import Kill
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep, Fault, Python, Say, Send
from mxlab.runner import runner
from mxlab.runner.result import RunResult
from mxlab.scenario.load import load
from mxlab_services.events import LabHealed

STORY = """\
mxlab: 1
title: t
steps:
  - send: {id: batch, from: alice@client.test, to: bob@example.test}
  - fault: {id: down, kill: mx1}
  - python: extra.py:breaks
  - say: never said
expect: [nothing-lost]
"""


def play(scenario: Scenario, **options: Any) -> tuple[RunResult, SimBackend]:
    backend = SimBackend()
    result = simulate(lambda: runner.run(scenario, backend, lab="t", run_id="r", **options))
    assert simulate(backend.find) == []
    return result, backend


def healed(result: RunResult) -> list[str]:
    bodies = [event.body for event in result.trace.by_node["lab"]]
    return [body.id for body in bodies if isinstance(body, LabHealed)]


@pytest.mark.parametrize(
    ("code", "line", "said"),
    [
        ("async def breaks(lab):\n    raise ValueError('boom')\n", 2, "ValueError: boom"),
        (
            "import json\n\nasync def breaks(lab):\n    json.loads('{')\n",
            4,
            "JSONDecodeError: Expecting",
        ),
        ("import sys\n\nasync def breaks(lab):\n    sys.exit(7)\n", 4, "SystemExit: 7"),
        ("def breaks(lab):\n    pass\n", 0, "is no `async def` function"),
        ("async def breaks(lab)\n    pass\n", 1, "SyntaxError"),
        ("async def other(lab):\n    pass\n", 0, "has no attribute 'breaks'"),
        ("async def breaks(lab):\n    lab.nodes['mx7']\n", 2, "KeyError: 'mx7'"),
        (
            "from mxlab_services.control.requests import Ping\n\nasync def breaks(lab):\n"
            "    await lab.nodes['mx1'].request(Ping())\n",
            4,
            "mx1 is stopped (",
        ),
    ],
)
def test_it_fails_its_step_and_the_rest_is_put_right(
    tmp_path: Path, code: str, line: int, said: str
) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(STORY)
    (tmp_path / "extra.py").write_text(code)
    result, _ = play(load(str(path)))
    finding = result.findings[0]
    assert (finding.check, finding.verdict) == ("step 3", Verdict.FAIL)
    assert said in finding.text
    if line:
        assert f"{tmp_path}/extra.py:{line}" in finding.text
    assert finding.place == f"{path}:6"
    assert healed(result) == ["down"]
    assert result.evidence.mailboxes["mx1"], "what was queued was delivered before judging"


SEND = Send("batch", "alice@client.test", "bob@example.test")


def failing(call: Any) -> str:
    steps: tuple[AnyStep, ...] = (SEND, Fault("down", Kill("mx1")), Python("mine", call))
    result, _ = play(Scenario(title="t", steps=steps, expect=("nothing-lost",)))
    assert healed(result) == ["down"]
    assert result.findings[0].check == "step 3"
    return result.findings[0].text


def test_a_function_given_in_python_fails_with_its_line() -> None:
    async def mine(lab: object) -> None:
        assert lab is None, "there is one"

    assert "AssertionError: there is one" in failing(mine)
    assert f"{__file__}:" in failing(mine)
    assert "AssertionError: there is one" in failing(functools.partial(mine))


def test_a_gate_is_passed_before_each_step_of_the_story() -> None:
    passed = []

    async def gate(step: AnyStep) -> None:
        passed.append(step.key)

    scenario = Scenario(title="t", steps=(SEND, Say("so")), expect=("nothing-lost",))
    result, _ = play(scenario, gate=gate)
    assert passed == ["send", "say"]
    assert result.verdict is Verdict.PASS


@pytest.mark.parametrize("file", ["link.py", "folder/inner.py", "loop.py"])
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "inner.py").write_text("async def breaks(lab):\n    pass\n")
    home = tmp_path / "story"
    home.mkdir()
    (home / "link.py").symlink_to(tmp_path / "outside" / "inner.py")
    (home / "folder").symlink_to(tmp_path / "outside")
    (home / "loop.py").symlink_to("loop.py")
    path = home / "scenario.yaml"
    path.write_text(STORY.replace("extra.py", file))
    with pytest.raises(ScenarioError, match=rf"{path}:6:13: `python`: '{file}' (is a link|cannot)"):
        load(str(path))
    told = CliRunner().invoke(app, ["scenario", "lint", str(path)])
    assert told.exit_code == 2
    assert "6:13: error: `python`" in told.stdout


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_text("async def breaks(lab):\n    raise ValueError('here')\n")
    (tmp_path / "link.py").symlink_to("real.py")
    (tmp_path / "scenario.yaml").write_text(STORY.replace("extra.py", "link.py"))
    result, _ = play(load(str(tmp_path / "scenario.yaml")))
    assert any("here" in finding.text for finding in result.findings)


@pytest.mark.parametrize("target", ["../x.py:f", "/x.py:f", "no function", "a b:f"])
def test_a_scenario_made_in_python_is_refused_before_anything_starts(target: str) -> None:
    story = Scenario(title="t", steps=(Python(target),), expect=("nothing-lost",))
    with pytest.raises(ScenarioError, match=r"^python: "):
        play(story)
