"""The runner, over the simulation: what it guarantees whatever a scenario does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mxlab.backends.base import Lab, Node, Order, Progress
from mxlab.backends.sim.backend import SimBackend, SimLab, simulate
from mxlab.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EnvironmentProblem,
    NodeFailed,
    Refused,
    ScenarioError,
    Unsupported,
)
from mxlab.model.condition import Bounced, Delivered, Queue
from mxlab.model.finding import Verdict
from mxlab.model.mechanism import Kill, Pause, Stop
from mxlab.model.scenario import Scenario
from mxlab.model.step import (
    AnyStep,
    Ask,
    Dns,
    Eventually,
    Fault,
    Heal,
    Never,
    Parallel,
    Python,
    Send,
    Wait,
)
from mxlab.runner import runner
from mxlab.runner.progress import Asked, Judged, Seen, StepBegan, Update, WaitBegan
from mxlab.runner.result import RunResult
from mxlab.scenario.load import load, loads
from mxlab_services.control.requests import Ping, Request
from mxlab_services.events import LabFault, LabHealed, LabStep

SEND = Send("batch", "alice@client.test", "bob@example.test", count=3)
ALL = ("nothing-lost", "nothing-forged", "nothing-altered", "duplicates-explained", "queues-empty")


def story(*steps: AnyStep, expect: tuple[str, ...] = ALL) -> Scenario:
    return Scenario(title="t", steps=steps, expect=expect)


def run(
    scenario: Scenario,
    backend: SimBackend | None = None,
    heard: list[Update] | None = None,
    **options: Any,
) -> RunResult:
    world = backend or SimBackend()
    progress: Callable[[Update], None] = (lambda _: None) if heard is None else heard.append
    return simulate(
        lambda: runner.run(scenario, world, lab="t", run_id="r", progress=progress, **options)
    )


def lab_events(result: RunResult) -> list[str]:
    return [
        body.id if isinstance(body, LabFault) else f"-{body.id}"
        for body in (event.body for event in result.trace.by_node["lab"])
        if isinstance(body, LabFault | LabHealed)
    ]


def failed(result: RunResult) -> list[str]:
    return [f.check for f in result.findings if f.verdict is not Verdict.PASS]


class Watched(SimBackend):
    """The simulation, remembering each node's state when the lab goes away."""

    def __init__(self) -> None:
        super().__init__()
        self.left: dict[str, str] = {}
        self.up = asyncio.Event()

    @asynccontextmanager
    async def deploy(
        self, order: Order, progress: Progress, *, keep: bool = False
    ) -> AsyncIterator[SimLab]:
        async with super().deploy(order, progress, keep=keep) as lab:
            self.up.set()
            try:
                yield lab
            finally:
                self.left = {name: await node.state() for name, node in lab.nodes.items()}


ALL_RUNNING = dict.fromkeys(("dns", "mx1", "mx2", "client"), "running")


def test_a_quiet_run_passes() -> None:
    result = run(story(SEND, Eventually(Delivered("batch"), 60.0)))
    assert result.exit_code == EXIT_OK, result.findings
    assert [f.check for f in result.findings] == ["step 2", *ALL]
    assert [e.body.index for e in result.trace.by_node["lab"] if isinstance(e.body, LabStep)] == [
        1,
        2,
    ]


def test_open_faults_are_healed_in_reverse_order() -> None:
    backend = Watched()
    faults = (Fault("a", Stop("mx1")), Fault("b", Kill("mx2")), Fault("c", Pause("mx1")))
    result = run(story(*faults[:2], SEND), backend)
    assert lab_events(result) == ["a", "b", "-b", "-a"]
    assert backend.left == ALL_RUNNING
    assert result.verdict is Verdict.PASS, result.findings


def test_what_is_still_queued_is_drained_before_judging() -> None:
    result = run(story(Fault("a", Kill("mx1")), Fault("b", Kill("mx2")), SEND, Wait(30.0)))
    assert result.verdict is Verdict.PASS, result.findings
    assert len(result.evidence.mailboxes["mx1"]) == 3


def test_an_eventually_that_never_comes_fails_with_what_was_seen_and_heals() -> None:
    backend = Watched()
    wanted = Eventually(Queue("mx2", holds="batch"), 20.0)
    result = run(story(SEND, Fault("x", Pause("dns")), wanted, Wait(9e7)), backend)
    assert result.exit_code == EXIT_FAILED
    assert failed(result) == ["step 3"]
    assert "mx2 holds 0 of 3" in result.findings[0].text
    assert backend.left == ALL_RUNNING
    assert result.lab_seconds < 1000  # the steps after it were not run


def test_a_never_that_happens_fails_at_once() -> None:
    result = run(story(SEND, Never(Delivered("batch"), 3600.0)))
    assert failed(result) == ["step 2"]
    assert result.lab_seconds < 60


def test_a_never_that_does_not_happen_passes_after_its_time() -> None:
    result = run(story(SEND, Never(Bounced("batch"), 3600.0)))
    assert result.verdict is Verdict.PASS
    assert result.lab_seconds >= 3600


def test_waiting_is_lab_time() -> None:
    assert run(story(SEND, Wait(5 * 86400.0))).lab_seconds >= 5 * 86400


def test_a_refusal_fails_the_step_and_names_its_line() -> None:
    text = """
mxlab: 1
title: t
steps:
  - send: {id: batch, from: alice@client.test, to: bob@example.test}
  - fault: {id: full, mailbox-full: {host: mx1, address: "dan@[192.0.2.9]"}}
expect: [nothing-lost]
"""
    result = run(loads(text, "x.yaml"))
    assert failed(result) == ["step 2"]
    assert result.findings[0].place == "x.yaml:6"


def test_dns_changes_take_effect() -> None:
    gone = Dns(remove=("example.test. MX",), add=("example.test. MX 10 mx2.example.test.",))
    result = run(story(gone, SEND, Wait(5.0), expect=("nothing-lost",)))
    assert any(event.node == "mx2" for event in result.trace.events() if event.message)


def test_a_python_step_may_do_anything_to_the_lab() -> None:
    async def ask(lab: Lab) -> None:
        assert (await lab.nodes["mx1"].request(Ping())).node == "mx1"

    assert run(story(SEND, Python("ask", ask))).verdict is Verdict.PASS


def test_a_python_step_is_found_beside_its_scenario(tmp_path: Path) -> None:
    (tmp_path / "extra.py").write_text("async def breaks(lab):\n    raise ValueError('boom')\n")
    path = tmp_path / "scenario.yaml"
    send = "send: {id: batch, from: alice@client.test, to: bob@example.test}"
    path.write_text(
        f"mxlab: 1\ntitle: t\nsteps:\n  - {send}\n  - python: extra.py:breaks\n"
        "expect: [nothing-lost]\n"
    )
    result = run(load(str(path)))
    assert failed(result) == ["step 2"]
    assert "ValueError: boom" in result.findings[0].text
    assert "extra.py:2" in result.findings[0].text


def test_steps_in_parallel_run_side_by_side() -> None:
    result = run(story(Parallel((SEND, Wait(100.0), Wait(100.0))), expect=("nothing-lost",)))
    assert 100 <= result.lab_seconds < 150


def test_a_failure_in_parallel_is_the_steps_own() -> None:
    never = Never(Delivered("batch"), 3600.0)
    result = run(story(SEND, Parallel((never, Wait(9e7)))))
    assert failed(result) == ["step 2.1"]


def test_questions_are_put_to_whoever_is_there() -> None:
    async def answer(ask: Ask) -> str:
        return " MX2.queue " if ask.question == "where?" else "no idea"

    steps = (SEND, Ask("where?", "mx2.queue"), Ask("when?", "now"))
    heard: list[Update] = []
    assert run(story(*steps), heard=heard, asker=answer).verdict is Verdict.PASS
    assert [u.right for u in heard if isinstance(u, Asked)] == [True, False]
    heard.clear()
    run(story(*steps), heard=heard)
    assert not [u for u in heard if isinstance(u, Asked)]


def test_progress_tells_steps_waits_and_findings() -> None:
    heard: list[Update] = []
    run(story(SEND, Eventually(Delivered("batch"), 60.0)), heard=heard)
    assert [u.number for u in heard if isinstance(u, StepBegan)] == [1, 2]
    assert any(isinstance(u, WaitBegan) and u.seconds == 60.0 for u in heard)
    assert any(isinstance(u, Seen) and u.text.endswith("of 3 delivered") for u in heard)
    assert sum(isinstance(u, Judged) for u in heard) == 1 + len(ALL)


def test_the_same_seed_gives_the_same_trace() -> None:
    scenario = story(Fault("x", Kill("mx1")), SEND, Wait(60.0))
    first, second, other = (run(scenario, seed=seed).trace.events() for seed in (7, 7, 8))
    assert first == second
    assert first != other


def test_the_replay_command_says_it_all() -> None:
    assert run(load("no-backup"), seed=3).replay.endswith(
        "no-backup/scenario.yaml --backend sim --seed 3"
    )


# --- worlds that misbehave ---


def test_a_scenario_that_refers_to_nothing_starts_nothing() -> None:
    backend = Watched()
    with pytest.raises(ScenarioError, match="nothing"):
        run(story(Heal("nothing")), backend)
    assert not backend.up.is_set()


class Unpausable(Watched):
    """A world that says so before anything starts."""

    @property
    def node_type(self) -> type[Node]:
        return Node


def test_a_fault_that_the_world_cannot_do_is_unsupported_before_anything_starts() -> None:
    backend = Unpausable()
    with pytest.raises(Unsupported, match="cannot pause"):
        run(load("primary-hang"), backend)
    assert not backend.up.is_set()
    assert run(load("primary-outage"), backend).verdict is Verdict.PASS


class Breaking(Watched):
    """A world in which one method of one node is another."""

    def __init__(self, node: str, method: str, instead: Callable[..., Awaitable[Any]]) -> None:
        super().__init__()
        self._broken = node, method, instead

    @asynccontextmanager
    async def deploy(
        self, order: Order, progress: Progress, *, keep: bool = False
    ) -> AsyncIterator[SimLab]:
        async with super().deploy(order, progress, keep=keep) as lab:
            node, method, instead = self._broken
            right = getattr(lab.nodes[node], method)
            setattr(lab.nodes[node], method, instead)
            try:
                yield lab
            finally:
                setattr(lab.nodes[node], method, right)


async def will_not(*_: object) -> None:
    raise NodeFailed("mx1 did not start: planted")


async def nothing(*_: object) -> None:
    pass


def test_a_fault_without_effect_fails_its_step() -> None:
    result = run(story(SEND, Fault("x", Kill("mx1"))), Breaking("mx1", "kill", nothing))
    assert "took no effect" in result.findings[0].text
    assert failed(result)[0] == "step 2"


def test_a_node_that_does_not_come_back_fails_the_heal_and_leaves_the_rest_unknown() -> None:
    backend = Breaking("mx1", "start", will_not)
    result = run(story(SEND, Fault("x", Kill("mx1")), Fault("y", Stop("mx2"))), backend)
    assert failed(result)[0] == "heal x"
    assert result.verdict is Verdict.FAIL
    verdicts = {f.check: f.verdict for f in result.findings}
    assert verdicts["nothing-lost"] is Verdict.UNKNOWN
    assert "mx1" in result.evidence.missing
    assert backend.left["mx2"] == "running"


def test_a_node_that_refuses_to_be_asked_leaves_the_verdict_open() -> None:
    async def refuses(request: Request[Any]) -> object:
        raise Refused("planted")

    result = run(story(SEND, Wait(10.0)), Breaking("mx2", "request", refuses))
    assert result.verdict is Verdict.UNKNOWN
    assert "planted" in result.evidence.missing["mx2"]


class Leaving(Watched):
    """A world that cannot be left."""

    async def remove(self, lab: str) -> Any:
        await super().remove(lab)
        raise EnvironmentProblem("planted")


def test_a_lab_that_is_not_removed_fails_the_run() -> None:
    result = run(story(SEND), Leaving())
    assert failed(result) == ["undo"]


def test_a_bug_in_a_step_still_heals_and_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("mxlab.runner.steps.Steps._send", crash)
    backend = Watched()
    with pytest.raises(ZeroDivisionError):
        run(story(Fault("x", Kill("mx1")), SEND), backend)
    assert backend.left == ALL_RUNNING


def test_cancelled_it_heals_and_removes_even_when_cancelled_again() -> None:
    backend = Watched()
    scenario = story(Fault("x", Kill("mx1")), Fault("y", Pause("mx2")), Wait(9e7))
    hurt = asyncio.Event()

    def progress(update: Update) -> None:
        if isinstance(update, WaitBegan):
            hurt.set()

    async def main() -> None:
        task = asyncio.create_task(
            runner.run(scenario, backend, lab="t", run_id="r", progress=progress)
        )
        await hurt.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert backend.left == ALL_RUNNING
        assert await backend.find() == []

    simulate(main)


def test_a_kept_lab_stays_up() -> None:
    backend = SimBackend()

    async def main() -> list[str]:
        await runner.run(story(SEND), backend, lab="t", run_id="r", keep=True)
        names = [found.lab for found in await backend.find()]
        await backend.remove("t")
        return names

    assert simulate(main) == ["t"]
