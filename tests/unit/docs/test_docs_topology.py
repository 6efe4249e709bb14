"""docs/scenarios.md has every key of the topology, with an example that works."""

import re
from pathlib import Path

import msgspec
import pytest

from mxlab.cli.up import make_topology
from mxlab.model.topology import Exchange, Topology
from mxlab.scenario.load import load_topology
from mxlab_services.queue.retry import SCHEDULES

PAGE = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text()
SECTION = PAGE.partition("## The lab\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| `(.*)` \|$", SECTION, re.MULTILINE)
EXAMPLES = {key: example for key, _, _, example in ROWS}


def test_every_key_is_told_once() -> None:
    structs = (Topology, Exchange)
    keys = [field.encode_name for kind in structs for field in msgspec.structs.fields(kind)]
    assert sorted(key for key, *_ in ROWS) == sorted(keys)


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
