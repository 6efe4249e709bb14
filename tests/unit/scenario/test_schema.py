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
    "address-too-long", "alias-bomb", "alias-bomb-in-keys", "batch-twice", "broken-yaml",
    "cyclic-mapping", "deep-block", "deep-lists", "deep-mappings", "domain-label-wrong",
    "duration-too-long",
    "empty-file", "endless", "heal-unknown",
    "host-twice", "key-twice", "lone-surrogate", "long-number", "merge-key", "name-too-long",
    "no-such-character", "numbers", "queue-of-what", "raw-escape", "real-domain", "unknown-batch",
    "unknown-host", "unknown-host-inside",
}  # fmt: skip
ALL = """
mxlab: 1
title: t
needs: [pause]
topology: {domain: example.test, mx: [{host: a, preference: 10, role: primary}], tls: true}
time_scale: 60
backend: sim
steps:
  - say: hello
  - ask: {question: "why?", answer: because}
  - send: {id: one, from: a@client.test, to: [b@example.test], count: 3, size: 2000, rate: 1.5}
  - fault: {id: down, kill: a}
  - heal: down
  - wait: 1h30m
  - eventually: {within: 60s, queue: {host: a, count: 0}}
  - never: {during: 500ms, bounced: {batch: one}}
  - dns: {add: ["x A 10.0.0.1"]}
  - parallel: [{say: x}, {parallel: [{say: y}]}]
  - python: beside.py:function
expect: [nothing-lost, {delivered: one}]
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
        ("count: 3", "count: true"),
        ("delivered: one", "arrived: one"),
        ("{say: y}", "{}"),
        ("beside.py:function", "beside.py"),
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
