"""silence-explained: a reply that was never read needs a fault that kept it away."""

import pytest

from mxlab.checks.judge import judge
from mxlab.history.trace import LAB
from mxlab.model.finding import Finding, Verdict
from mxlab_services import events
from mxlab_services.events import Body
from tests.support.history import BOB, History, submitted

LOST = "4.4.2 lost connection with mx1.example.test[10.0.0.1]:25 after the final dot"


def fault(kind: str, node: str, name: str = "f1") -> list[Body]:
    return [events.LabStep(1, f"fault {name}"), events.LabFault(name, kind, node)]


def attempt(stage: str = "dot", reply: str = LOST) -> list[Body]:
    tried = events.Tried("C1", "mx1.example.test", "10.0.0.1", 10, stage, reply, 0.1, [])
    return [events.AttemptStarted("C1", "example.test", [BOB], 1), tried]


def judged(*story: tuple[str, list[Body]]) -> Finding:
    history: History = submitted()
    for node, bodies in story:
        for body in bodies:
            history.event(node, body, None if node == LAB else "<m@client.test>")
    (found,) = judge(["silence-explained"], history.trace(), history.evidence())
    return found


@pytest.mark.parametrize("stage", ["greeting", "ehlo", "mail", "rcpt", "data", "dot"])
def test_an_unread_reply_without_a_fault_is_told(stage: str) -> None:
    found = judged(("client", attempt(stage)))
    assert found.verdict is Verdict.FAIL
    assert found.details == (f"client: C1 at mx1.example.test: {LOST}",)


def test_a_reply_that_was_read_needs_no_fault() -> None:
    assert judged(("client", attempt(reply="451 4.3.0 later"))).verdict is Verdict.PASS


def program(reply: str, stage: str = "auth") -> list[Body]:
    host, who = "client.client.test", "alice@client.test"
    tried = events.HandedIn(host, "10.0.0.3", "alice", who, [BOB], 1, stage, reply, 0.1, [])
    return [tried]


def test_a_program_hears_every_reply_too() -> None:
    lost = "4.4.2 no reply within 5 s with client.client.test[10.0.0.3]:587 after AUTH"
    found = judged(("client", program(lost)))
    assert found.verdict is Verdict.FAIL
    assert found.details == (f"client: a program at client.client.test: {lost}",)
    assert judged(("client", program(lost, "connect"))).verdict is Verdict.UNKNOWN
    assert judged(("client", program("535 5.7.8 no"))).verdict is Verdict.PASS
    assert judged(("client", program("no TLS: expired", "starttls"))).verdict is Verdict.PASS
    reset = fault("reset", "client")
    assert judged((LAB, reset), ("client", program(lost))).verdict is Verdict.PASS
    other = fault("reset", "mx1")
    assert judged((LAB, other), ("client", program(lost))).verdict is Verdict.FAIL


def test_a_host_that_could_not_be_connected_to_said_nothing_that_could_be_missed() -> None:
    assert judged(("client", attempt("connect"))).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("node", ["client", "mx1"])
def test_a_fault_at_either_end_explains_it(node: str) -> None:
    assert judged((LAB, fault("pause", node)), ("client", attempt())).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("kind", "node"),
    [("pause", "mx2"), ("kill", "dns"), ("segments", "mx1"), ("dns-timeout", "client")],
)
def test_a_fault_elsewhere_or_one_that_loses_no_reply_explains_nothing(
    kind: str, node: str
) -> None:
    story: list[tuple[str, list[Body]]] = [
        ("mx2", [events.Flushed("all", 0)]),
        ("dns", [events.Flushed("all", 0)]),
    ]
    found = judged(*story, (LAB, fault(kind, node)), ("client", attempt()))
    assert found.verdict is Verdict.FAIL


def test_a_fault_that_was_healed_long_before_explains_nothing() -> None:
    story = (LAB, [*fault("pause", "mx1"), events.LabHealed("f1")])
    quiet: tuple[str, list[Body]] = ("mx2", [events.Flushed("all", 0)] * 10)  # 100 s
    assert judged(story, quiet, ("client", attempt())).verdict is Verdict.FAIL
    assert judged(story, ("client", attempt())).verdict is Verdict.PASS


def test_a_fault_that_comes_only_afterwards_explains_nothing() -> None:
    quiet: tuple[str, list[Body]] = ("mx2", [events.Flushed("all", 0)] * 10)
    found = judged(("client", attempt()), quiet, (LAB, fault("pause", "mx1")))
    assert found.verdict is Verdict.FAIL


def test_where_nobody_knows_the_hosts_node_any_fault_will_do() -> None:
    elsewhere = events.Tried("C1", "mail.example.test", "10.0.0.1", 10, "dot", LOST, 0.1, [])
    story = ("client", [attempt()[0], elsewhere])
    assert judged((LAB, fault("pause", "mx1")), story).verdict is Verdict.PASS
