"""The step that changes a zone, at its primary or at another server, in the simulation."""

import pytest

from mxlab import Scenario, dns, eventually, mailbox, run, send
from mxlab.model.finding import Verdict
from mxlab.model.step import AnyStep
from mxlab.model.topology import Exchange, NameServer, Topology
from mxlab.runner.result import RunResult
from mxlab.scenario.lint import remarks

LAB = Topology(
    dns=(
        NameServer("top", primary=(".", "test")),
        NameServer("ns1", primary=("example.test",)),
        NameServer("other", primary=("client.test",)),
        NameServer("copies", secondary=("example.test",)),
    ),
    mx=(Exchange("mx1", 10), Exchange("mx2", 10)),
)
OWN = """
$TTL 60
@ SOA other.example.test. postmaster.example.test. 1 60 60 3600 60
@ NS other.example.test.
@ MX 10 mx2.example.test.
other A {other}
mx2 A {mx2}
"""
EXPECT = ("nothing-lost",)
BOB = "bob@example.test"


def play(*steps: AnyStep) -> RunResult:
    return run(Scenario(title="t", steps=steps, topology=LAB, expect=EXPECT), "sim")


def test_a_server_of_its_own_has_other_data_and_the_delegation_says_who_is_asked() -> None:
    result = play(
        dns(zone=OWN, origin="example.test", server="other"),
        dns(
            origin="test",
            remove=["example.test. NS"],
            add=["example.test. NS other.example.test.", "other.example.test. A {other}"],
        ),
        send("all", to=BOB, count=5),
        eventually(mailbox(BOB, count=5, host="mx2"), within="1m"),
        dns(server="other", add=["@ MX 5 mx1", "mx1 A {mx1}"], remove=["@ MX 10 mx2"]),
        send("more", to=BOB, count=5),
        eventually(mailbox(BOB, count=10), within="1m"),
    )
    assert result.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (dns(server="copies", remove=["@ MX"]), "copies has a copy of example.test"),
        (dns(server="other", add=["x A 10.0.0.1"]), "no zone example.test here"),
        (dns(server="otter", add=["x A 10.0.0.1"]), "there is no such name server"),
        (dns(server="mx1", add=["x A 10.0.0.1"]), "there is no such name server"),
    ],
)
def test_what_that_server_cannot_change_is_told_before(step: AnyStep, words: str) -> None:
    story = Scenario(title="t", steps=(step, send("all", to=BOB)), topology=LAB, expect=EXPECT)
    assert [one for one in remarks(story, ()) if words in one.problem.text]


def test_at_a_copy_it_fails_with_the_servers_own_word() -> None:
    result = play(dns(server="copies", remove=["@ MX"]))
    assert result.verdict is Verdict.FAIL
    assert any("is a copy here: change it at its primary" in one.text for one in result.findings)


def test_at_the_primary_it_is_as_without() -> None:
    change = dns(server="ns1", remove=["@ MX 10 mx1"])
    there = eventually(mailbox(BOB, count=5, host="mx2"), within="1m")
    assert play(change, send("all", to=BOB, count=5), there).verdict is Verdict.PASS
    assert str(change) == "dns at ns1: -@ MX 10 mx1"
