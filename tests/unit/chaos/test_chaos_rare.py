"""Chaos says which rare states its runs never reached."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mxlab.chaos.rare import RARE, reached
from mxlab.chaos.search import search
from mxlab.cli.app import app
from mxlab_services import events
from mxlab_services.events import Body
from tests.support.history import ALICE, BOB, MESSAGE, History, accepted, submitted, through_both

READY = events.NodeReady("mx", [])
STARTED = events.AttemptStarted("B1", "example.test", [BOB], 1)
DEAD = events.DestinationDead("example.test", 99.0, "timed out")
BOUNCED = events.Bounced("B9", MESSAGE, "B1", ALICE, [BOB], "failed")
STORED = accepted("B1", "10.0.0.9")
FAILED = events.Outcome("B1", BOB, "failed", "554 5.4.6 loops back")


def tried(stage: str, *dialog: str) -> Body:
    return events.Tried("B1", "mx1.example.test", "10.0.0.1", 10, stage, "", 0.1, list(dialog))


def at(address: str, stage: str, host: str = "mx1") -> Body:
    return events.Tried("B1", f"{host}.example.test", address, 10, stage, "", 0.1, [])


STORIES: dict[str, list[Body]] = {
    "died-after-commit": [STORED, READY],
    "died-in-attempt": [STORED, STARTED, READY],
    "stored-untold": [READY, STARTED],
    "ack-lost": [STORED],
    "second-copy": [events.MailboxDelivered("B1", BOB, name, "d1") for name in "ab"],
    "dead-flushed": [DEAD, events.Flushed("all", 1)],
    "given-up-dead": [DEAD, BOUNCED],
    "delay-told": [events.Bounced("B9", MESSAGE, "B1", ALICE, [BOB], "delayed")],
    "null-sender-failed": [events.BounceSuppressed("B1", [BOB], "null sender")],
    "host-passed-over": [tried("skipped")],
    "connection-stale": [tried("done", "C: <the kept connection was closed meanwhile: a new one>")],
    "mail-loops": [FAILED],
    "disk-refused": [events.FaultStruck("f1", "disk-full", "disk", "")],
    "dns-over-tcp": [events.DnsQuery("example.test", "MX", "NOERROR", [], "tcp", "10.0.0.9")],
    "copy-expired": [events.DnsExpired("example.test.", 1)],
    "family-fell-back": [at("2001:db8::2", "connect"), at("10.0.0.2", "done")],
}
NEARLY: dict[str, list[Body]] = {
    "died-after-commit": [STORED, events.NodeStopping("asked"), READY],
    "died-in-attempt": [STORED, STARTED, events.Removed("B1"), READY],
    "stored-untold": [STORED, READY, STARTED],
    "second-copy": [events.MailboxDelivered("B1", to, "a", "d1") for to in (BOB, ALICE)],
    "dead-flushed": [DEAD, events.DestinationAlive("example.test"), events.Flushed("all", 1)],
    "given-up-dead": [DEAD, READY, BOUNCED],
    "host-passed-over": [tried("done")],
    "dns-over-tcp": [events.DnsQuery("example.test", "AXFR", "NOERROR", [], "tcp", "10.0.0.9")],
    "family-fell-back": [at("2001:db8::2", "connect"), at("10.0.0.2", "done", "mx2")],
}


def told(story: list[Body]) -> History:
    history = submitted()
    for body in story:
        history.event("mx2", body)
    return history


def test_every_state_has_a_story() -> None:
    assert STORIES.keys() == RARE.keys()


@pytest.mark.parametrize("name", RARE)
def test_a_state_that_was_reached_is_seen(name: str) -> None:
    history = told(STORIES[name])
    if name == "ack-lost":
        lost = events.Outcome("C1", BOB, "unknown", "4.4.2 lost", "mx2.example.test")
        history.event("client", lost)
    assert name in reached(history.trace())


@pytest.mark.parametrize("name", NEARLY)
def test_a_state_that_was_nearly_reached_is_not(name: str) -> None:
    assert name not in reached(told(NEARLY[name]).trace())


def test_a_plain_story_reaches_none() -> None:
    assert reached(through_both().trace()) == frozenset()


def test_a_search_counts_the_runs_that_reached_each() -> None:
    tally = search(seed=3, runs=150)
    assert 0 < tally.reached["null-sender-failed"] <= tally.runs
    assert set(tally.never_reached) | tally.reached.keys() == RARE.keys()


def test_what_was_never_reached_is_told_in_words_and_as_json(tmp_path: Path) -> None:
    out = str(tmp_path / "chaos.yaml")
    words = ["chaos", "--runs", "2", "--seed", "1", "--jobs", "1", "--out", out]
    plain = CliRunner().invoke(app, words)
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert found["reached"].keys() == RARE.keys()
    assert found["never_reached"] == [name for name, runs in found["reached"].items() if not runs]
    for name, meaning in RARE.items():
        line = f"never reached: {meaning} ({name})"
        assert (line in plain.stdout) == (name in found["never_reached"])
