"""docs/scenarios.md has every key of the topology, and every step, condition and check."""

import re
from pathlib import Path

import msgspec
import pytest

from mxlab.checks.registry import CHECKS
from mxlab.cli.up import make_topology
from mxlab.model.condition import CONDITIONS
from mxlab.model.step import STEPS
from mxlab.model.topology import Client, Exchange, MailDomain, NameServer, RelayHost, Topology
from mxlab.scenario.load import load_topology
from mxlab_services.queue.retry import SCHEDULES

PAGE = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


ROWS = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| `(.*)` \|$", section("The lab"), re.MULTILINE)
TWO_ROWS = {"ip", "timeouts", "limits"}  # the lab's and an exchange's
EXAMPLES = {key: example for key, _, _, example in ROWS}


def test_every_key_is_told_once() -> None:
    structs = (Topology, Exchange, NameServer, MailDomain, RelayHost, Client)
    keys = {field.encode_name for kind in structs for field in msgspec.structs.fields(kind)}
    shared = [key for key, *_ in ROWS if key not in TWO_ROWS]
    assert sorted(shared) == sorted(keys - TWO_ROWS)


@pytest.mark.parametrize("key", EXAMPLES)
def test_its_example_says_something(key: str, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(EXAMPLES[key])
    assert f"{key}:" in EXAMPLES[key]
    default = key in ("host", "preference", "mx") and Topology().mx
    shape = make_topology(file, None, None, None)
    assert shape != Topology() or shape.mx == default
    assert shape == load_topology(file)


def test_every_schedule_is_named() -> None:
    (words,) = [words for key, words, _, _ in ROWS if key == "schedule"]
    assert re.findall(r"`(\w+)`", words) == list(SCHEDULES)


@pytest.mark.parametrize("kinds", [STEPS, CONDITIONS], ids=["steps", "conditions"])
def test_every_step_and_condition_has_a_row_that_names_its_fields(
    kinds: dict[str, type[msgspec.Struct]],
) -> None:
    rows = {
        key: row
        for row in re.findall(r"^\| `.*$", section("Steps"), re.MULTILINE)
        for key in re.findall(r"`([a-z]+): ", row.split(" | ")[0])
        if key in kinds
    }
    assert rows.keys() == kinds.keys()
    for key, kind in kinds.items():
        if getattr(kind, "alone", ""):
            continue
        for field in msgspec.structs.fields(kind):
            word = {"mechanism": "KIND", "condition": "CONDITION"}.get(
                field.name, field.encode_name
            )
            assert re.search(rf"\b{word}\b", rows[key]), f"{key}: {word}"


def test_the_table_of_checks_is_made_from_the_code() -> None:
    rows = [line for line in section("Expectations").splitlines() if line.startswith("| `")]
    assert rows == [f"| `{c.name}` | {c.meaning} | {c.fails} |" for c in CHECKS.values()]
