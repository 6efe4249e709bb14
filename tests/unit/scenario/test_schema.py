"""The JSON Schema of scenario files: it takes what the loader takes, and finds wrong shapes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mxlab.errors import ScenarioError
from mxlab.model.condition import CONDITIONS
from mxlab.model.mechanism import MECHANISMS
from mxlab.model.step import STEPS
from mxlab.scenario.load import find, loads, scenario_ids
from mxlab.scenario.schema import scenario_schema
from tests.support.schema_check import violations

BAD = sorted((Path(__file__).parents[2] / "badconfigs").glob("*/scenario.yaml"))
# What only the loader can know: YAML's own errors, and names that lead nowhere.
BEYOND = {
    "address-too-long", "alias-bomb", "alias-bomb-in-keys", "alias-circle", "alias-elsewhere",
    "alias-to-nobody", "batch-twice", "broken-yaml", "client-domain-of-the-lab",
    "client-domain-real", "client-domain-twice", "client-exchange", "client-host-twice",
    "client-schedule", "client-smarthost-unknown", "code-of-another-class", "code-second-digit",
    "config-of-dns", "cyclic-mapping", "deep-block", "deep-lists", "deep-mappings",
    "domain-exchange-is-client", "domain-label-wrong", "domain-of-the-client",
    "domain-recipient-elsewhere", "domain-twice", "duration-too-long", "eml-beside-body",
    "eml-empty", "eml-outside", "empty-file", "endless", "families-apart",
    "fault-auth-elsewhere", "fault-auth-recipient", "fault-misplaced", "hand-in-nobody-may",
    "hand-in-refused-positively", "hand-in-through-another", "hand-in-unknown-user",
    "header-injection", "heal-unknown", "host-twice", "key-twice", "lone-surrogate", "long-number",
    "merge-key",
    "name-too-long", "no-such-character", "notify-never-and-more", "numbers",
    "product-settings-lines", "product-settings-not-a-name", "product-settings-of-ours",
    "product-settings-opensmtpd", "queue-of-what",
    "raw-escape", "real-domain", "relay-for-unknown", "seen-no-mail-host",
    "seen-no-name-server", "seen-twice-counted", "senders-no-address",
    "product-at-the-root", "senders-unknown-user", "submission-of-another-product",
    "imap-of-another-product",
    "smarthost-circle", "smarthost-refuses",
    "smarthost-unknown", "unknown-batch", "unknown-host", "unknown-host-inside",
    "user-control-character", "user-empty-password", "via-an-exchange", "via-unknown",
}  # fmt: skip
ALL = """
mxlab: 1
title: t
needs: [pause]
topology:
  domain: example.test
  mx: [{host: a, preference: 10, role: primary, schedule: exim, lifetime: 2h, jitter: 0.1}]
  lifetime: 1d
  client_retry: {schedule: rfc, warning: 0s}
  tls: true
  clients: [{host: s, domain: s.test, schedule: rfc, jitter: 0.5, ip: [4], concurrency: 2}]
  submission: {users: {al: x, ev: y}, senders: {al: [a@b.test, "@x.test"], ev: e@x.test}}
time_scale: 60
backend: sim
steps:
  - say: hello
  - ask: {question: "why?", answer: because}
  - send: {id: one, from: a@client.test, to: [b@example.test], count: 3, size: 2000, rate: 1.5}
  - send: {id: two, from: "<>", to: b@example.test, via: s, notify: never, headers: ["X-A: b"]}
  - send: {id: six, from: "<>", to: b@example.test, notify: [delay], ret: hdrs, eml: m.eml}
  - send: {id: by, from: "", to: b@example.test, submission: {user: al, tries: 3, pause: 2s}}
  - send: {id: nay, from: "", to: b@example.test, submission: {port: 465, refused: 5.7.0}}
  - fault: {id: down, kill: a}
  - heal: down
  - wait: 1h30m
  - eventually: {within: 60s, queue: {host: a, count: 0}}
  - never: {during: 500ms, bounced: {batch: one}}
  - never: {during: 500ms, bounced: {batch: one, code: 5.1.1}}
  - never: {during: 500ms, reply: {from: a, code: 4xx, verb: DOT, batch: one, by: client}}
  - never: {during: 500ms, reply: {from: a, code: 450, count: 2}}
  - never: {during: 500ms, attempt: a}
  - never: {during: 500ms, notified: {address: a@client.test, kind: delayed, at-least: 2}}
  - never: {during: 500ms, asked: {name: example.test, type: MX, server: dns, by: client}}
  - dns: {add: ["x A 10.0.0.1", "y A {a}"], ttl: 5m}
  - config: {host: a, set: {limits.hops: 9, timeouts.dot: 5m, recipients: [b@example.test]}}
  - config: {host: a, set: {timeouts.dot: 2.5, retry.lifetime: "null", retry.schedule: exim}}
  - parallel: [{say: x}, {parallel: [{say: y}]}]
  - python: beside.py:function
expect: [nothing-lost, {delivered: one}, {attempt: {host: a, count: 0}}]
"""


def read(text: str) -> Any:
    return yaml.safe_load(text)


def test_it_knows_every_step_condition_and_mechanism() -> None:
    step = scenario_schema()["$defs"]["step"]["properties"]
    assert step.keys() == STEPS.keys()
    assert step["fault"]["properties"].keys() == {"id", *MECHANISMS}
    assert step["eventually"]["properties"].keys() == {"within", *CONDITIONS}


def test_each_time_the_same() -> None:
    assert scenario_schema() == scenario_schema()


@pytest.mark.parametrize("name", scenario_ids())
def test_what_ships_conforms(name: str) -> None:
    assert violations(read(find(name).read_text()), scenario_schema()) == []


def test_all_that_a_file_may_say_conforms() -> None:
    loads(ALL)
    assert violations(read(ALL), scenario_schema()) == []


@pytest.mark.parametrize("path", BAD, ids=[path.parent.name for path in BAD])
def test_what_is_broken_does_not(path: Path) -> None:
    if path.parent.name in BEYOND:
        return
    assert violations(read(path.read_text()), scenario_schema()) != []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("kill: a", "kill: [a]"),
        ("kill: a", "kil: a"),
        ("kill: a", "kill: a, stop: a"),
        ("within: 60s", "within: 60"),
        ("lifetime: 2h", "lifetime: 7200"),
        ("warning: 0s", "warning: 0"),
        ("ttl: 5m", "ttl: 300"),
        ("code: 5.1.1", "code: 4.1.1"),
        ("code: 4xx", "code: 4yz"),
        ("verb: DOT", "verb: BDAT"),
        ("kind: delayed", "kind: relayed"),
        ("count: 3", "count: true"),
        ("delivered: one", "arrived: one"),
        ("{say: y}", "{}"),
        ("beside.py:function", "beside.py"),
        ("limits.hops: 9", "limits.hops: 0"),
        ("limits.hops: 9", "limits.hop: 9"),
        ("timeouts.dot: 5m", "timeouts.dot: soon"),
        ("time_scale: 60", "time_scale: 0"),
        ("backend: sim", "backend: cloud"),
        ("title: t", "titel: t"),
        ("role: primary", "role: null"),
    ],
)
def test_a_wrong_shape_is_found_by_both(right: str, wrong: str) -> None:
    text = ALL.replace(right, wrong)
    with pytest.raises(ScenarioError):
        loads(text)
    assert violations(read(text), scenario_schema()) != []
