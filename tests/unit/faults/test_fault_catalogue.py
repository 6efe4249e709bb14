"""The catalogue of faults: each is done, seen, undone, and says beforehand where it cannot be."""

import pytest

from mxlab.backends.base import Order
from mxlab.backends.docker import DockerBackend
from mxlab.backends.process import ProcessBackend
from mxlab.backends.sim.backend import SimBackend, SimLab, simulate
from mxlab.cli.fault import read_fault
from mxlab.errors import LabError, ScenarioError, Unsupported, UsageError
from mxlab.faults import CATALOGUE, fault_called, inject, refuse_unsupported, undo
from mxlab.faults.open import heal, open_faults
from mxlab.faults.table import sample
from mxlab.model.condition import AnyCondition, Deferred, Delivered, Mailbox, Queue
from mxlab.model.finding import Verdict
from mxlab.model.mechanism import MECHANISMS, Drop, Kill, Partition, Reject
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep, Eventually, Fault, Heal, Never, Send, Wait
from mxlab.model.topology import Topology
from mxlab.report.text import text
from mxlab.runner import runner
from mxlab.runner.result import RunResult
from mxlab.scenario.load import loads
from mxlab_services import events
from mxlab_services.faults.kinds import (
    DnsNxdomain,
    DnsServfail,
    LoseAck,
    Refuse,
    ReplyWith,
    TlsBroken,
    problem,
)

SEND = Send("batch", "alice@client.test", "bob@example.test", count=3)
TLS = Topology(tls=True)


def play(*steps: AnyStep, expect: tuple[str | AnyCondition, ...] = ("nothing-lost",)) -> RunResult:
    scenario = Scenario(title="t", steps=steps, expect=expect)
    return simulate(lambda: runner.run(scenario, SimBackend(), lab="t", run_id="r"))


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_fault_is_done_seen_and_undone(name: str) -> None:
    mechanism = sample(MECHANISMS[name])
    injector = fault_called(name).injector

    async def main() -> None:
        async with SimBackend().deploy(Order("t", "r", TLS), lambda _: None) as lab:
            assert not await injector.seen(lab, "x", mechanism)
            await inject(lab, "x", mechanism)
            assert await injector.seen(lab, "x", mechanism)
            await undo(lab, "x", mechanism)
            assert not await injector.seen(lab, "x", mechanism)
            await undo(lab, "x", mechanism)  # twice is no mistake
            assert await open_faults(lab) == []

    simulate(main)


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_is_broken_is_found_in_the_lab_and_healed(name: str) -> None:
    mechanism = sample(MECHANISMS[name])

    async def main() -> None:
        async with SimBackend().deploy(Order("t", "r", TLS), lambda _: None) as lab:
            await inject(lab, "x", mechanism)
            (found,) = await open_faults(lab)
            assert found.host == mechanism.host
            assert found.name in ("x", mechanism.host)
            await heal(lab, found)
            assert await open_faults(lab) == []

    simulate(main)


@pytest.mark.parametrize(
    "name", ["drop", "reject", "partition", "loss", "slow-link", "cut-link", "segments"]
)
def test_links_are_shaped_where_the_nodes_have_networks_of_their_own(name: str) -> None:
    virtual = name in ("slow-link", "segments")
    for backend in (ProcessBackend(), DockerBackend()) if virtual else (ProcessBackend(),):
        with pytest.raises(Unsupported, match=f"{backend.name} backend cannot {name}"):
            refuse_unsupported(backend, (name,))
    refuse_unsupported(SimBackend(), (name,))
    if not virtual:
        refuse_unsupported(DockerBackend(), (name,))


def test_a_scenario_for_another_world_starts_nothing() -> None:
    scenario = Scenario(title="t", steps=(SEND,), expect=("nothing-lost",), backends=("docker",))
    with pytest.raises(Unsupported, match="not for sim"):
        simulate(lambda: runner.run(scenario, SimBackend(), lab="t", run_id="r"))


def test_a_fault_that_ended_with_the_nodes_life_is_set_again() -> None:
    """Both deliveries are refused: the one before the restart, and the one after."""
    result = play(
        Fault("no", ReplyWith("mx1", verb="RCPT", code=550)),
        Fault("down", Kill("mx1")),
        Heal("down"),
        SEND,
        Wait(30.0),
    )
    assert sum(isinstance(e.body, events.FaultStruck) for e in result.trace.events()) == 3


def test_a_healed_fault_is_not_set_again() -> None:
    result = play(
        Fault("no", ReplyWith("mx1", verb="RCPT", code=550)),
        Fault("down", Kill("mx1")),
        Heal("no"),
        Heal("down"),
        SEND,
        Eventually(Delivered("batch"), 60.0),
    )
    assert result.verdict is Verdict.PASS, text(result)


def test_a_run_heals_inner_faults_and_links_in_the_end() -> None:
    result = play(
        Fault("a", Drop("mx1")),
        Fault("b", Refuse("mx2")),
        SEND,
        Eventually(Deferred("batch"), 60.0),
    )
    assert result.verdict is Verdict.PASS, text(result)
    assert sum(len(found) for found in result.evidence.mailboxes.values()) == 3


def test_a_drop_between_two_hosts_leaves_the_others_alone() -> None:
    result = play(
        Fault("x", Drop("mx1", peers=("client",))),
        SEND,
        Eventually(Delivered("batch"), 120.0),  # by way of mx2
    )
    assert result.verdict is Verdict.PASS, text(result)
    assert any(event.node == "mx2" for event in result.trace.events() if event.message)


def test_a_rejected_connection_is_refused_at_once() -> None:
    result = play(Fault("x", Reject("mx1")), SEND, Eventually(Queue("mx2", holds="batch"), 1.0))
    assert result.verdict is Verdict.PASS, text(result)


def test_two_drops_on_one_link_are_undone_one_by_one() -> None:
    result = play(
        Fault("x", Drop("mx1")),
        Fault("y", Partition("mx1", peers=("client", "mx2"))),
        SEND,
        Heal("x"),
        Never(Mailbox("bob@example.test", at_least=1), 120.0),
        Heal("y"),
        Eventually(Delivered("batch"), 600.0),
    )
    assert result.verdict is Verdict.PASS, text(result)


def test_hosts_may_be_named_as_peers() -> None:
    result = play(
        Fault("x", ReplyWith("mx1", verb="CONNECT", code=421, peer="client")),
        SEND,
        Eventually(Delivered("batch"), 60.0),
    )
    struck = [e for e in result.trace.events() if isinstance(e.body, events.FaultStruck)]
    assert result.verdict is Verdict.PASS, text(result)
    assert {e.body.peer for e in struck if isinstance(e.body, events.FaultStruck)} == {"10.53.25.5"}


def verdict_on(what: str | AnyCondition, *steps: AnyStep) -> Verdict:
    (finding,) = play(*steps, SEND, Wait(30.0), expect=(what,)).findings
    return finding.verdict


def test_faults_struck_tells_a_fault_that_nothing_met() -> None:
    once = ReplyWith("mx1", verb="RCPT", code=451, first=1)
    assert verdict_on("faults-struck", Fault("x", once)) is Verdict.PASS
    assert verdict_on("faults-struck", Fault("x", LoseAck("client"))) is Verdict.FAIL
    assert verdict_on("faults-struck", Fault("x", Refuse("mx1"))) is Verdict.UNKNOWN
    assert verdict_on("faults-struck") is Verdict.UNKNOWN


def test_mailboxes_are_judged_by_what_lies_in_them() -> None:
    bob = "bob@example.test"
    assert verdict_on(Mailbox(bob, count=3)) is Verdict.PASS
    assert verdict_on(Mailbox(bob, at_least=3, host="mx1")) is Verdict.PASS
    assert verdict_on(Mailbox(bob, count=2)) is Verdict.FAIL
    assert verdict_on(Mailbox(bob, at_least=1, host="mx2")) is Verdict.FAIL


# --- words ----------------------------------------------------------------------------------------


def scenario_with(fault: str) -> Scenario:
    send = "send: {id: b, from: a@client.test, to: bob@example.test}"
    return loads(
        f"mxlab: 1\ntitle: t\nsteps:\n  - fault: {fault}\n  - {send}\nexpect: [mx-order]\n"
    )


def test_faults_are_read_long_and_short() -> None:
    (fault, _) = scenario_with("{id: x, reply: {host: mx1, verb: RCPT, code: 451, first: 2}}").steps
    assert fault == Fault("x", ReplyWith("mx1", verb="RCPT", code=451, first=2))
    (fault, _) = scenario_with("{id: x, refuse: mx1}").steps
    assert fault == Fault("x", Refuse("mx1"))
    (fault, _) = scenario_with("{id: x, dns-nxdomain: example.test}").steps
    assert fault == Fault("x", DnsNxdomain(name="example.test"))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("{id: x, refuze: mx1}", "unknown key"),
        ("{id: x, reply: mx1}", "the key `verb` is missing"),
        ("{id: x, reply: {host: mx1, verb: RCPT}}", "the key `code` is missing"),
        ("{id: x, reply: {host: mx1, verb: RCPT, code: 250}}", "code"),
        ("{id: x, reply: {host: mx1, verb: RCPT, code: 451, nth: 0}}", "nth"),
        ("{id: x, reply: {host: mx1, verb: RCPT, code: 451, nth: 1, first: 1}}", "only one of"),
        ("{id: x, reply: {host: mx1, verb: EHLO, code: 451, sender: a@b.test}}", "`sender`"),
        ("{id: x, reply: {host: mx1, verb: RCPT, code: 451, peer: mx9}}", "no such host"),
        ("{id: x, greylist: {host: mx1, seconds: 5, exempt: [mx9]}}", "no such host"),
        ("{id: x, partition: {host: mx1, peers: []}}", "length"),
        ("{id: x, drop: {host: mx1, peers: [mx7]}}", "no such host"),
        ("{id: x, refuse: {host: mx1, first: 2}}", "unknown key"),
    ],
)
def test_wrong_faults_are_told_with_their_place(fault: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words) as raised:
        scenario_with(fault)
    assert str(raised.value).startswith("<text>:4:")


def test_the_command_line_reads_the_same() -> None:
    wanted = ReplyWith("mx1", verb="RCPT", code=451, text="no room", first=2)
    words = ["verb=RCPT", "--code", "451", "--text=no room", "first=2"]
    assert read_fault("mx1", "reply", words) == wanted
    assert read_fault("dns", "dns-servfail", ["a.test"]) == DnsServfail(name="a.test")
    assert read_fault("mx1", "drop", ["peers=mx2,client"]) == Drop("mx1", peers=("mx2", "client"))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("reply", ["verb=RCPT"]),
        ("reply", ["verb=RCPT", "code=451", "kode=1"]),
        ("refuse", ["mx1"]),
        ("reply", ["--verb"]),
        ("refuze", []),
    ],
)
def test_wrong_words_are_usage_errors(kind: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        read_fault("mx1", kind, words)
    assert raised.value.exit_code == 2


def test_parameters_from_python_are_checked_before_anything_starts() -> None:
    wrong = ReplyWith("mx1", verb="EHLO", code=451, sender="a@b.test")
    assert problem(wrong)
    with pytest.raises(LabError, match="sender"):
        play(Fault("x", wrong), SEND)


def test_a_node_takes_each_broken_certificate_and_the_same_one_again() -> None:
    async def main() -> None:
        async with SimBackend().deploy(Order("t", "r", TLS), lambda _: None) as lab:
            for fault in (TlsBroken("mx1", "expired"), TlsBroken("mx1", "wrong-name")):
                await inject(lab, fault.how, fault)
                await inject(lab, fault.how, fault)
            assert {one.name for one in await open_faults(lab)} == {"expired", "wrong-name"}

    simulate(main)


def test_a_lab_of_the_simulation_can_be_shaped() -> None:
    assert SimBackend().lab_type is SimLab
