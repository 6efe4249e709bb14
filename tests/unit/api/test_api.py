"""The Python API: it builds what the loader builds, refuses what makes no sense, and runs."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import mxlab
from mxlab import (
    Scenario,
    ask,
    asked,
    attempt,
    bounced,
    deferred,
    delivered,
    dns,
    eventually,
    fault,
    heal,
    mailbox,
    never,
    notified,
    parallel,
    python,
    queue,
    reply,
    run,
    say,
    send,
    wait,
)
from mxlab.backends.process.folder import state_root
from mxlab.errors import ScenarioError, UnknownName, UsageError
from mxlab.model.finding import Verdict
from mxlab.scenario.load import loads
from tests.support.docs_code import blocks

YAML = """
mxlab: 1
title: t
steps:
  - say: hello
  - ask: {question: "why?", answer: because, hint: well}
  - send: {id: one, from: alice@client.test, to: bob@example.test}
  - send: {id: two, from: a@client.test, to: [b@example.test, c@example.test], count: 3, size: 2000}
  - fault: {id: down, kill: mx1}
  - heal: down
  - fault: {id: busy, reply: {host: mx2, verb: RCPT, code: 451, nth: 2}}
  - fault: {id: gone, dns-nxdomain: example.test}
  - wait: 1h30m
  - eventually: {within: 60s, queue: {host: mx2, holds: one}}
  - eventually: {within: 2m, queue: {host: mx2, count: 0}}
  - eventually: {within: 2m, delivered: two}
  - eventually: {within: 2m, deferred: two}
  - eventually: {within: 2m, mailbox: {address: b@example.test, at-least: 1}}
  - never: {during: 500ms, bounced: two}
  - eventually: {within: 2m, queue: {host: mx2, at-least: 2}}
  - eventually: {within: 2m, bounced: {batch: one, code: 5.1.1}}
  - eventually: {within: 2m, reply: {from: mx1, verb: RCPT, code: 450, batch: one, at-least: 2}}
  - eventually: {within: 2m, attempt: {host: mx2, batch: two, by: client, count: 0}}
  - eventually: {within: 2m, notified: {address: alice@client.test, code: 5xx, batch: one}}
  - eventually: {within: 2m, asked: {server: dns, name: example.test, type: MX, by: client}}
  - dns: {add: ["x A 10.0.0.1"], remove: [y A]}
  - parallel: [{say: x}, {parallel: [{say: y}]}]
  - python: module:function
expect: [nothing-lost, {delivered: one}]
"""


def test_python_builds_what_the_loader_builds() -> None:
    one = send("one", to="bob@example.test")
    down = fault("down", "kill", "mx1")
    built = (
        say("hello"),
        ask("why?", "because", "well"),
        one,
        send("two", to=["b@example.test", "c@example.test"], sender="a@client.test", count=3,
             size=2000),
        down,
        heal(down),
        fault("busy", "reply", "mx2", verb="RCPT", code=451, nth=2),
        fault("gone", "dns-nxdomain", name="example.test"),
        wait("1h30m"),
        eventually(queue("mx2", holds=one), within=60),
        eventually(queue("mx2", count=0), within="2m"),
        eventually(delivered("two"), within="2m"),
        eventually(deferred("two"), within="2m"),
        eventually(mailbox("b@example.test", at_least=1), within="2m"),
        never(bounced("two"), during="500ms"),
        eventually(queue("mx2", at_least=2), within="2m"),
        eventually(bounced(one, code="5.1.1"), within="2m"),
        eventually(reply("mx1", 450, verb="RCPT", batch=one, at_least=2), within="2m"),
        eventually(attempt("mx2", batch="two", by="client", count=0), within="2m"),
        eventually(notified("alice@client.test", code="5xx", batch=one), within="2m"),
        eventually(asked("example.test", type="MX", server="dns", by="client"), within="2m"),
        dns(add=["x A 10.0.0.1"], remove=["y A"]),
        parallel(say("x"), parallel(say("y"))),
        python("module:function"),
    )  # fmt: skip
    loaded = loads(YAML)
    assert built == loaded.steps
    assert loaded.expect == ("nothing-lost", delivered(one))


WRONG: Any = "delivered"


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: send("A b", to="bob@example.test"), "send: Expected `str` matching regex"),
        (lambda: send("a", to="bob"), r"send: 'bob' is not a mail address: .* \(to\)"),
        (lambda: send("a", to="b@c", count=0), r"send: Expected `int` >= 1 \(count\)"),
        (lambda: send("a", to="b@c", cuont=1), "send: Object contains unknown field `cuont`"),
        (lambda: fault("x", "kil", "mx1"), "no fault is called 'kil'"),
        (lambda: fault("x", "kill"), "kill: Object missing required field `host`"),
        (lambda: fault("x", "reply", "mx1", verb="RCPT", code=250), "reply: "),
        (lambda: wait("5 parsecs"), "no duration"),
        (lambda: wait(-1), "no duration"),
        (lambda: eventually(WRONG, within="1m"), "is no condition"),
        (lambda: parallel(WRONG), "is no step"),
        (lambda: reply("mx1", 490), "490 is no code of a reply"),
        (lambda: reply("mx1", "4yz"), "reply: "),
        (lambda: reply("mx1", 450, verb="RCTP"), "reply: Invalid enum value"),
        (lambda: attempt("mx1", count=1, at_least=1), "has one at most"),
        (lambda: bounced("one", code=450), "bounced: "),
        (lambda: notified("a@client.test", kind="delayed", code="5.1.1"), "code of class 4"),
        (lambda: queue("mx1"), "either `holds`, `count` or `at-least`"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_written(
    build: Callable[[], Any], said: str
) -> None:
    with pytest.raises((ScenarioError, UnknownName), match=said):
        build()


SEND = send("batch", to="bob@example.test", count=2)


def test_a_run_is_judged() -> None:
    story = Scenario(
        title="t", steps=(SEND, eventually(delivered(SEND), within="1m")), expect=("nothing-lost",)
    )
    result = run(story)
    assert (result.verdict, result.exit_code, result.backend) == (Verdict.PASS, 0, "sim")
    assert run(story, seed=3).seed == 3


def test_a_run_in_processes(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXLAB_STATE_DIR", str(tmp_path))
    seen: list[str] = []

    async def look(lab: Any) -> None:
        seen.append(lab.backend)

    steps = (SEND, eventually(delivered(SEND), within="1m"), python(look))
    result = run(Scenario(title="t", steps=steps, expect=("all-delivered",)), backend="process")
    assert result.verdict is Verdict.PASS, result.findings
    assert seen == ["process"]
    assert list(state_root().iterdir()) == []


def test_lists_will_do() -> None:
    steps: Any = [SEND]
    expect: Any = ["nothing-lost"]
    assert run(Scenario(title="t", steps=steps, expect=expect)).verdict is Verdict.PASS


def test_bad_runs_start_nothing() -> None:
    story = Scenario(title="t", steps=(SEND,), expect=("nothing-lost",))
    with pytest.raises(UnknownName, match="'simm'"):
        run(story, backend="simm")
    with pytest.raises(UsageError, match="above 0"):
        run(story, time_scale=0)
    with pytest.raises(ScenarioError, match="nowhere"):
        run(Scenario(title="t", steps=(heal("nowhere"),), expect=("nothing-lost",)))
    wrong: Any = ({"send": "x"},)
    with pytest.raises(ScenarioError, match="no step"):
        run(Scenario(title="t", steps=wrong, expect=("nothing-lost",)))


async def test_inside_a_loop_it_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="while an event loop runs"):
        run(Scenario(title="t", steps=(SEND,), expect=("nothing-lost",)))


def test_every_name_is_there_and_no_other() -> None:
    for name in mxlab.__all__:
        assert getattr(mxlab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'sned'"):
        mxlab.sned  # noqa: B018


def test_importing_mxlab_loads_nothing_else() -> None:
    code = "import mxlab, sys; print([m for m in sys.modules if m.startswith('mxlab')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "['mxlab']"


def test_the_worked_example_prints_what_the_docs_say(capsys: pytest.CaptureFixture[str]) -> None:
    (code,), (said,) = blocks("python.md", "python"), blocks("python.md", "text")
    exec(compile(code, "docs/python.md", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out == said
