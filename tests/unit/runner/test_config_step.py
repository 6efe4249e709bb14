"""The step that changes a host's settings: felt at once, and put back whatever happens."""

import asyncio

import msgspec
import pytest

import mxlab
from mxlab import Scenario, bounced, config, delivered, eventually, fault, python, run, send, wait
from mxlab.backends.base import Lab, Order
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.backends.sim.node import EPOCH
from mxlab.errors import ScenarioError
from mxlab.model.finding import Verdict
from mxlab.model.step import AnyStep, Config
from mxlab.runner.result import RunResult
from mxlab.runner.runner import silent
from mxlab.runner.steps import StepFailed, Steps
from mxlab.runner.watch import watching
from mxlab.scenario.describe import story as told
from mxlab.scenario.lint import remarks
from mxlab.scenario.load import loads
from mxlab.scenario.write import scenario_text
from mxlab_services.config import TimeConfig
from mxlab_services.control.requests import ConfigList
from mxlab_services.events import ConfigChanged

SMALL = config("mx1", {"limits.message_size": 1000, "timeouts.greeting": "5m"})
SIZE = "10485760"


def play(*steps: AnyStep, expect: tuple[str, ...] = ("nothing-lost",)) -> RunResult:
    return run(Scenario(title="t", steps=steps, expect=expect, idle_passes=True), "sim")


def changes(result: RunResult, key: str = "limits.message_size") -> list[tuple[str, str]]:
    bodies = [e.body for e in result.trace.by_node["mx1"] if isinstance(e.body, ConfigChanged)]
    return [(body.old, body.new) for body in bodies if body.key == key]


def test_it_is_felt_at_once_and_put_back_in_the_end() -> None:
    result = play(
        SMALL,
        send("large", to="bob@example.test", size=5000),
        eventually(bounced("large"), within="1m"),
        config("mx1", {"limits.message_size": 6000}),
        send("again", to="bob@example.test", size=5000),
        wait("10s"),  # until no connection is kept on which another limit was announced
        send("later", to="bob@example.test", size=5000),
        eventually(delivered("later"), within="1m"),
    )
    assert result.verdict is Verdict.PASS
    assert changes(result) == [(SIZE, "1000"), ("1000", "6000"), ("6000", SIZE)]
    assert changes(result, "timeouts.greeting") == [("3.0", "300.0"), ("300.0", "3.0")]


def test_it_is_put_back_after_the_host_was_killed_and_a_step_failed() -> None:
    result = play(
        SMALL,
        fault("down", "kill", "mx1"),
        send("b", to="bob@example.test"),
        eventually(bounced("b"), within="1s"),
    )
    assert result.verdict is Verdict.FAIL
    assert changes(result) == [(SIZE, "1000"), ("1000", SIZE)]


def test_settings_of_a_host_that_is_down_in_the_end_are_told_as_not_put_back() -> None:
    async def off(lab: Lab) -> None:
        await lab.nodes["mx2"].kill()

    result = play(config("mx2", {"limits.hops": 9}), python(off))
    (finding,) = [one for one in result.findings if one.check == "settings mx2"]
    assert finding.verdict is Verdict.FAIL


def test_cancelled_in_the_middle_it_is_put_back() -> None:
    async def main() -> None:
        order = Order("lab", "run", mxlab.Topology(), TimeConfig(1.0, EPOCH), 1)
        async with SimBackend().deploy(order, silent) as lab, watching(lab) as watch:
            story = Scenario(title="t", steps=(SMALL, wait("1h")), expect=())
            steps = Steps(story, watch, silent)
            task = asyncio.create_task(steps.run())
            await asyncio.sleep(10)
            found = {s.key: s for s in await lab.nodes["mx1"].request(ConfigList())}
            assert found["limits.message_size"].value == 1000
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await steps.undo_all() == []
            found = {s.key: s for s in await lab.nodes["mx1"].request(ConfigList())}
            assert not found["limits.message_size"].differs
            await steps.do(SMALL)  # beside a story, too
            assert await steps.undo_all() == []
            with pytest.raises(StepFailed):
                await steps.do(Config("mx1", {"limits.hops": 0}))

    simulate(main)


FILE = """mxlab: 1
title: t
steps:
  - config: {{host: {}, set: {}}}
  - send: {{id: b, from: alice@client.test, to: bob@example.test}}
  - eventually: {{within: 1m, delivered: b}}
expect: [nothing-lost]
"""


def test_a_file_says_the_same_and_is_written_again() -> None:
    story = loads(FILE.format("mx1", "{limits.message_size: 1000, timeouts.greeting: 5m}"))
    assert story.steps[0] == SMALL
    assert loads(scenario_text(story)).steps == story.steps
    assert str(SMALL) == "config mx1: limits.message_size = 1000, timeouts.greeting = 5m"
    assert "Settings of mx1 are changed while it runs: limits.message_size = 1000" in "\n".join(
        told(story)
    )
    assert not [one for one in remarks(story, []) if one.level == "error"]


@pytest.mark.parametrize(
    ("host", "settings", "said"),
    [
        ("mx3", "{limits.hops: 9}", "`host`.*no such mail host"),
        ("dns", "{limits.hops: 9}", "no such mail host"),
        ("mx1", "{}", "length >= 1"),
        ("mx1", "{limits.hop: 9}", "`limits.hop`: no setting that can be changed"),
        ("mx1", "{limits.hops: 0}", "`limits.hops`.*`int` >= 1"),
        ("mx1", "{timeouts.dot: soon}", "no duration"),
        ("mx1", "{hostname: x}", "no setting that can be changed"),
        ("mx1", "{recipients: [bob]}", "no mail address"),
        ("mx1", "{limits.hops: }", "not nothing"),
    ],
)
def test_what_cannot_be_is_told_with_line_and_key(host: str, settings: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said) as raised:
        loads(FILE.format(host, settings), "story.yaml")
    assert str(raised.value).startswith("story.yaml:4:")


def test_in_python_it_is_refused_where_it_is_written() -> None:
    with pytest.raises(ScenarioError, match="no setting") as raised:
        config("mx1", {"limits.mesage_size": 1})
    assert "did you mean 'limits.message_size'" in raised.value.hint
    with pytest.raises(ScenarioError, match="set"):
        config("mx1", {})
    assert msgspec.json.decode(msgspec.json.encode(SMALL))["set"]["limits.message_size"] == 1000
