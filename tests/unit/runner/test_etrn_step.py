"""The step by which one host asks another to start its queue (RFC 1985), in the simulation."""

import pytest

from mxlab import (
    Scenario,
    deferred,
    delivered,
    etrn,
    eventually,
    fault,
    heal,
    never,
    queue,
    run,
    send,
)
from mxlab.errors import ScenarioError
from mxlab.model.finding import Verdict
from mxlab.model.step import AnyStep
from mxlab.model.topology import Exchange, Topology
from mxlab.runner.result import RunResult
from mxlab_services.events import EtrnSent, Flushed

MX = Topology(mx=(Exchange("mx1", 10), Exchange("mx2", 20)), schedule="rfc")


def play(*steps: AnyStep) -> RunResult:
    return run(Scenario(title="t", steps=steps, topology=MX, expect=("nothing-lost",)), "sim")


def sent(result: RunResult) -> list[EtrnSent]:
    return [e.body for e in result.trace.by_node["mx1"] if isinstance(e.body, EtrnSent)]


def failures(result: RunResult) -> list[str]:
    return [f.text for f in result.findings if f.verdict is Verdict.FAIL]


def test_the_host_that_is_asked_starts_its_queue_and_the_answer_is_on_record() -> None:
    result = play(
        send("batch", to="bob@example.test"),
        etrn("mx1", asks="mx2"),
        etrn("mx1", asks="mx2", reply=251),
    )
    assert result.verdict is Verdict.PASS
    for asked in sent(result):
        assert (asked.host, asked.domain) == ("mx2.example.test", "example.test")
        assert asked.reply == "251 2.0.0 ok, no messages waiting for node example.test"
        assert "C: ETRN example.test" in asked.dialog
        assert asked.dialog[-1] == "C: QUIT"
    flushed = [e.body for e in result.trace.by_node["mx2"] if isinstance(e.body, Flushed)]
    assert flushed[:2] == [Flushed("example.test", 0)] * 2


def test_a_refusal_fails_the_step_unless_it_is_what_the_story_wants() -> None:
    wanted = play(
        send("batch", to="bob@example.test"),
        etrn("mx1", asks="mx2", domain="other.test", reply=459),
    )
    assert wanted.verdict is Verdict.PASS
    unwanted = play(
        send("batch", to="bob@example.test"), etrn("mx1", asks="mx2", domain="other.test")
    )
    (text,) = failures(unwanted)
    assert "mx1 asks mx2 to start its queue: the answer: 459 4.7.1 node other.test" in text
    other = play(send("batch", to="bob@example.test"), etrn("mx1", asks="mx2", reply=253))
    assert "the answer: 251 2.0.0" in failures(other)[0]


def test_a_host_that_is_not_there_fails_the_step_with_what_happened() -> None:
    result = play(
        send("batch", to="bob@example.test"),
        fault("down", "kill", "mx2"),
        etrn("mx1", asks="mx2"),
    )
    assert "timed out" in failures(result)[0]
    result = play(
        send("batch", to="bob@example.test"),
        fault("dark", "dns-servfail", name="mx2.example.test"),
        etrn("mx1", asks="mx2"),
    )
    assert "no address of mx2.example.test: servfail" in failures(result)[0]


def test_who_asks_must_live() -> None:
    result = play(
        send("batch", to="bob@example.test"),
        fault("down", "kill", "mx1"),
        etrn("mx1", asks="mx2"),
    )
    assert "mx1" in failures(result)[0]


@pytest.mark.parametrize(
    ("host", "asks", "text"),
    [
        ("mx3", "mx2", "mx3"),
        ("mx1", "dns", "there is no such mail host"),
        ("mx1", "mx1", "mx1 asks itself"),
    ],
)
def test_names_that_lead_nowhere_are_told_before_the_run(host: str, asks: str, text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        play(send("batch", to="bob@example.test"), etrn(host, asks=asks))


def test_mail_that_waits_comes_at_once_where_it_is_asked_for() -> None:
    waiting = (
        fault("down", "kill", "mx1"),
        send("batch", to="bob@example.test", count=3),
        eventually(queue("mx2", holds="batch"), within="20m"),
    )
    unasked = play(
        *waiting,
        eventually(deferred("batch"), within="20m"),
        heal("down"),
        never(delivered("batch"), during="10m"),
    )
    assert unasked.verdict is Verdict.PASS
    asked = play(
        *waiting,
        eventually(deferred("batch"), within="20m"),
        heal("down"),
        etrn("mx1", asks="mx2", reply=253),
        eventually(delivered("batch"), within="10s"),
    )
    assert asked.verdict is Verdict.PASS
