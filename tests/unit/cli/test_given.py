"""What `what-if` and `audit` find out they were given."""

from pathlib import Path

import pytest

from mxlab.cli.given import GivenTopology, GivenZone, given_setup
from mxlab.errors import UsageError

RECORDS = "SOA ns h 1 2 3 4 5\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        (f"$ORIGIN acme.example.\n@ 60 {RECORDS}", "acme.example."),
        (f"$ORIGIN .\nacme.example 60 {RECORDS}", "acme.example."),  # as BIND dumps it
        (f"acme.example. 60 IN {RECORDS}", "acme.example."),  # as Knot does
        (f"; {'x' * 70_000}\nacme.example. 60 IN {RECORDS}", "acme.example."),
        ("$ORIGIN acme.example.\n@ 60 SOA wrong\n", "acme.example."),
    ],
)
def test_a_zone_says_whose_it_is(text: str, origin: str) -> None:
    Path("own.zone").write_text(text)
    given = given_setup(Path("own.zone"), None)
    assert given == GivenZone(text, origin, "own.zone")


@pytest.mark.parametrize("text", ["", f"@ 60 {RECORDS}", f". 60 {RECORDS}"])
def test_or_it_does_not_and_is_told_so(text: str) -> None:
    Path("own.zone").write_text(text)
    with pytest.raises(UsageError, match="which domain"):
        given_setup(Path("own.zone"), None)
    given = given_setup(Path("own.zone"), "acme.example")
    assert given == GivenZone(text, "acme.example", "own.zone")


def test_a_scenario_is_meant_by_its_id_unless_a_file_is_called_so() -> None:
    given = given_setup(Path("primary-outage"), None)
    assert isinstance(given, GivenTopology)
    assert given.path.parent.name == "primary-outage"
    Path("primary-outage").write_text(f"acme.example. 60 IN {RECORDS}")
    assert isinstance(given_setup(Path("primary-outage"), None), GivenZone)


def test_yaml_and_folders_are_topologies() -> None:
    Path("folder").mkdir()
    for name in ("lab.yaml", "lab.yml", "folder"):
        assert given_setup(Path(name), None) == GivenTopology(Path(name))


def test_a_folder_of_ones_own_scenarios_counts() -> None:
    Path("mine/own").mkdir(parents=True)
    Path("mine/own/scenario.yaml").write_text("")
    given = given_setup(Path("own"), None, Path("mine"))
    assert given == GivenTopology(Path("mine/own/scenario.yaml"))
    with pytest.raises(UsageError, match="no scenario of that name"):
        given_setup(Path("own"), None)
