"""One story with several mail servers or schedules: which variants there are, what is measured."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from mxlab import run
from mxlab.cli.app import app
from mxlab.compare.measures import Measures, measure
from mxlab.compare.table import rows
from mxlab.compare.variants import parse_choices, variants
from mxlab.errors import UnknownName, UsageError
from mxlab.model.finding import Verdict
from mxlab.scenario.load import load

OUTAGE = load("primary-outage")
MEASURES = Measures(
    label="mx2=exim", backend="docker", verdict=Verdict.PASS, not_passed=(), messages=20,
    at_backup=1.234, first_after=None, last_after=7260.4, attempts={"client": 20, "mx2": 31},
    waits={"client": (), "mx2": tuple(float(n) for n in range(1, 12))}, copies=0, failures=1,
    delays=0,
)  # fmt: skip


def test_every_choice_meets_every_schedule() -> None:
    choices = parse_choices(["mx2=postfix,exim", "mx1=mxlab", "mx2=exim"])
    found = variants(OUTAGE, choices, ["rfc", "exim"])
    assert [variant.label for variant in found] == [
        "mx2=postfix, mx1=mxlab, schedule rfc",
        "mx2=postfix, mx1=mxlab, schedule exim",
        "mx2=exim, mx1=mxlab, schedule rfc",
        "mx2=exim, mx1=mxlab, schedule exim",
    ]
    topology = found[1].scenario.topology
    assert (topology.software["mx2"], topology.schedule) == ("postfix", "exim")


def test_without_a_choice_the_story_is_told_as_it_is() -> None:
    assert [(v.label, v.scenario) for v in variants(OUTAGE, {}, [])] == [("as it is", OUTAGE)]


@pytest.mark.parametrize("word", ["mx2", "mx2=", "=exim", "mx2=,"])
def test_a_choice_without_its_parts_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="HOST=SOFTWARE"):
        parse_choices([word])


def test_names_that_nobody_has_are_refused() -> None:
    with pytest.raises(UnknownName, match="postfxi"):
        variants(OUTAGE, {"mx2": ("postfxi",)}, [])
    with pytest.raises(UnknownName, match="mx9"):
        variants(OUTAGE, {"mx9": ("exim",)}, [])
    with pytest.raises(UnknownName, match="eximm"):
        variants(OUTAGE, {}, ["eximm"])
    with pytest.raises(UsageError, match="too many"):
        variants(OUTAGE, {"mx1": ("mxlab", "exim"), "mx2": ("mxlab",) * 20}, [])


def test_an_outage_is_measured() -> None:
    found = measure("as it is", run(OUTAGE, "sim"))
    assert found.verdict is Verdict.PASS
    assert found.not_passed == ()
    assert found.at_backup is not None
    assert found.first_after is not None
    assert found.last_after is not None
    assert 0 < found.first_after <= found.last_after
    assert found.attempts["client"] >= found.messages > 0
    assert found.attempts["mx2"] > 0
    assert (found.copies, found.failures, found.delays) == (0, 0, 0)


def test_a_lost_acknowledgement_is_a_second_copy() -> None:
    assert measure("", run(load("lost-ack"), "sim")).copies > 0


def test_a_longer_schedule_shows_in_the_waits() -> None:
    by_schedule = {
        schedule: measure(schedule, run(variants(OUTAGE, {}, [schedule])[0].scenario, "sim"))
        for schedule in ("workshop", "postfix")
    }
    assert max(by_schedule["workshop"].waits["mx2"]) < 60
    late, soon = by_schedule["postfix"].last_after, by_schedule["workshop"].last_after
    assert late is None or soon is None or late > soon


def test_measures_as_a_table() -> None:
    failed = msgspec.structs.replace(
        MEASURES,
        label="b",
        verdict=Verdict.FAIL,
        not_passed=("nothing-lost",),
        attempts={},
        waits={},
    )
    headings, table = rows([MEASURES, failed])
    found = {row[0]: row[1:] for row in table}
    assert headings == ["", "mx2=exim", "b"]
    assert found["verdict"] == ["pass", "fail: nothing-lost"]
    assert found["at a backup after"] == ["1s230ms", "1s230ms"]
    assert found["first delivered, after the return"] == ["-", "-"]
    assert found["last delivered, after the return"] == ["2h1m", "2h1m"]
    assert found["attempts by mx2"] == ["31", "0"]
    assert found["waits at mx2, of one message"] == ["1s 2s 3s 4s 5s 6s 7s 8s and 3 more", "-"]
    assert "waits at client, of one message" not in found


def test_the_command_compares_in_the_simulation(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ["compare", "primary-outage", "--schedule", "workshop,exim", "--backend", "sim"]
    shown = CliRunner().invoke(app, [*words, "--html", str(page)])
    assert "schedule exim" in shown.stdout
    assert "attempts by mx2" in shown.stdout
    assert "(schedule workshop)" in page.read_text()
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert [one["label"] for one in found] == ["schedule workshop", "schedule exim"]


def test_a_product_is_not_in_the_simulation() -> None:
    words = ["compare", "primary-outage", "--with", "mx2=exim", "--backend", "sim"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 3
    assert "--backend docker" in result.stderr
