"""Whole zone files as BIND writes them: what is read, and each mistake's place; as BIND has it."""

import subprocess
from pathlib import Path

import pytest

from mxlab_services.dns.zone import load_zone
from mxlab_services.errors import ZoneError, ZoneTextError
from tests.support.programs import needs
from tests.support.zone_corpus import ACCEPTED, DIFFERS, HEAD, REFUSED

checkzone = needs("named-checkzone")
SAME_JUDGEMENT = {"an alias that an exchange is", "letters beyond ASCII"}  # but another reading


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_file_as_people_write_it_is_read(name: str) -> None:
    zone = load_zone("example.test", ACCEPTED[name])
    assert load_zone("example.test", "\n".join(zone.text())).text() == zone.text()


@pytest.mark.parametrize("name", REFUSED)
def test_each_mistake_is_told_with_its_place(name: str) -> None:
    text, places = REFUSED[name]
    with pytest.raises(ZoneError) as caught:
        load_zone("example.test", text)
    error = caught.value
    mistakes = error.mistakes if isinstance(error, ZoneTextError) else ()
    assert [(mistake.line, mistake.column) for mistake in mistakes] == places
    for line, column in places:
        assert f"line {line}, column {column}: " in str(error)


@pytest.mark.parametrize("name", DIFFERS)
def test_what_we_judge_in_our_own_way(name: str) -> None:
    text, taken, _ = DIFFERS[name]
    if taken:
        load_zone("example.test", text)
    else:
        with pytest.raises(ZoneError):
            load_zone("example.test", text)


def bind_takes(text: str, folder: Path) -> bool:
    """Whether named-checkzone takes it (host names may hold underscores, as ours)."""
    file = folder / "zone"
    file.write_bytes(text.encode())
    command = ["named-checkzone", "-k", "ignore", "-i", "local", "example.test", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


@checkzone
def test_bind_takes_what_we_take(tmp_path: Path) -> None:
    refused = [name for name, text in ACCEPTED.items() if not bind_takes(text, tmp_path)]
    assert refused == ["byte order mark"]  # three octets of a name, there


@checkzone
def test_bind_refuses_what_we_refuse(tmp_path: Path) -> None:
    assert [name for name, (text, _) in REFUSED.items() if bind_takes(text, tmp_path)] == []


@checkzone
def test_bind_judges_the_listed_ones_otherwise(tmp_path: Path) -> None:
    same = {name for name, (text, ours, _) in DIFFERS.items() if bind_takes(text, tmp_path) == ours}
    assert same == SAME_JUDGEMENT


@checkzone
@pytest.mark.parametrize("name", [name for name in ACCEPTED if name != "byte order mark"])
def test_bind_reads_the_same_records(name: str, tmp_path: Path) -> None:
    (tmp_path / "zone").write_bytes(ACCEPTED[name].encode())
    command = [
        "named-compilezone", "-k", "ignore", "-i", "local", "-s", "full", "-o", "-", "-q",
        "example.test", str(tmp_path / "zone"),
    ]  # fmt: skip
    theirs = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    ours = load_zone("example.test", ACCEPTED[name])
    assert sorted(load_zone("example.test", theirs).text()) == sorted(ours.text())


def test_generated_records_are_bounded_and_sound() -> None:
    for line, reason in (
        ("$GENERATE 0-65536 h$ A 192.0.2.1", "more than 65536 records"),
        ("$GENERATE 3-1 h$ A 192.0.2.1", "no range that goes up"),
        ("$GENERATE 1-3/0 h$ A 192.0.2.1", "no range that goes up"),
        ("$GENERATE 1-3 h${-2} A 192.0.2.1", "below zero at 1"),
        ("$GENERATE 1-3 h$ A", "takes START-STOP"),
        ("$GENERATE 250-256 h$ A 192.0.2.$", "A: Octet 256"),
    ):
        with pytest.raises(ZoneTextError, match=reason):
            load_zone("example.test", HEAD + line)
    zone = load_zone("example.test", HEAD + "$GENERATE 9-11 h${-8,3,d} 60 CNAME h${0,2,X}.x")
    assert zone.text()[-3:] == [
        "h001.example.test. 60 IN CNAME h09.x.example.test.",
        "h002.example.test. 60 IN CNAME h0A.x.example.test.",
        "h003.example.test. 60 IN CNAME h0B.x.example.test.",
    ]
