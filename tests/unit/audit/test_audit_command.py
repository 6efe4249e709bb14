"""`mxlab audit` on files: what it finds out it was given, what it prints, its exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mxlab.audit.page import markdown
from mxlab.audit.rule import audit_rules
from mxlab.cli.app import app
from mxlab.scenario.load import scenario_ids
from tests.support.site_zone import ZONE

FOUND = "$ORIGIN acme.example.\n" + ZONE
WRONG = FOUND + "sub IN MX 10 gone\n"


def audit(*words: str, code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(app, ["audit", *words], input=stdin)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.zone").write_text(FOUND)
    Path("wrong.zone").write_text(WRONG)
    Path("bare.zone").write_text(ZONE)
    Path("lab.yaml").write_text("mx:\n- {host: mx1, preference: 10}\n- {host: mx2, preference: 20, "
                                "lifetime: 20m}\n")  # fmt: skip
    Path("bytes.zone").write_bytes(bytes(range(256)))
    Path("empty.zone").write_text("")
    Path("folder").mkdir()


def test_a_zone_file_is_judged_and_its_findings_have_places() -> None:
    result = audit("wrong.zone", code=1)
    assert "wrong.zone:11:1: the exchange gone.acme.example has no address" in result.stdout
    assert "(exchange-has-address)" in result.stdout
    assert "Mend: " in result.stdout
    assert "not seen" in result.stdout


def test_where_only_warnings_are_found_the_exit_code_is_nought() -> None:
    result = audit("good.zone", "--rule", "ttl-fits", "--rule", "two-exchanges")
    assert "2 rules: " in result.stdout


def test_json_has_findings_and_what_was_not_seen() -> None:
    document = json.loads(audit("wrong.zone", "--json", code=1).stdout)
    (flaw,) = [one for one in document["findings"] if one["rule"] == "exchange-has-address"]
    assert flaw["place"] == "wrong.zone:11:1"
    assert flaw["level"] == "error"
    assert flaw["consequence"]
    assert flaw["mend"]
    seen = {one["rule"] for one in document["kept"]}
    unseen = {one["rule"] for one in document["not_seen"]}
    told = {one["rule"] for one in document["findings"]} | seen | unseen
    assert told == set(audit_rules())
    assert "backup-lifetime" in unseen


def test_a_zone_of_standard_input_and_one_that_does_not_say_whose_it_is() -> None:
    assert "acme" in audit("-", stdin=WRONG, code=1).stdout
    assert "--origin DOMAIN" in audit("bare.zone", code=2).stderr
    assert "34 rules" in audit("bare.zone", "--origin", "acme.example").stdout
    Path("dump.zone").write_text(
        "acme.example. 60 SOA ns.acme.example. h. 1 2 3 4 5\nacme.example. 60 MX 1 x.example.\n"
    )
    assert "x.example is the only exchange of acme.example" in audit("dump.zone").stdout


def test_a_topology_is_judged_by_option_or_by_place_with_lines() -> None:
    for words in (("lab.yaml",), ("--topology", "lab.yaml")):
        shown = audit(*words).stdout
        assert "lab.yaml:3:41 (mx[1].lifetime): mx2 keeps mail for 20m (backup-lifetime)" in shown


def test_a_long_list_is_cut_unless_all_is_wanted() -> None:
    more = "".join(f"s{n} IN MX 10 gone\n" for n in range(9))
    Path("long.zone").write_text(FOUND + more)
    assert "and 4 more: --all" in audit("long.zone", code=1).stdout
    assert "s8.acme.example" in audit("long.zone", "--all", code=1).stdout


@pytest.mark.parametrize("name", scenario_ids())
def test_the_topology_of_each_scenario_can_be_judged(name: str) -> None:
    result = CliRunner().invoke(app, ["audit", name, "--json"])
    assert result.exit_code in (0, 1), result.output
    assert json.loads(result.stdout)["source"] == "topology"


def test_a_story_is_judged_at_each_step() -> None:
    shown = audit("swapped-preferences", "--play", code=1).stdout
    assert "believes to be a backup (best-exchange-delivers), after step 2" in shown
    document = json.loads(audit("swapped-preferences", "--play", "--json", code=1).stdout)
    assert {one["after_step"] for one in document["findings"]} >= {0, 2}


def test_a_story_that_fails_is_told_as_such() -> None:
    Path("short.yaml").write_text(
        "mxlab: 1\ntitle: short\nsteps:\n- send: {id: a, from: a@client.test, to: b@example.test}\n"
        "- eventually: {within: 1s, bounced: a}\nexpect: [nothing-lost]\n"
    )
    assert "could not be played on: step 2" in audit("short.yaml", "--play", code=4).stderr


def test_the_page_is_printed() -> None:
    assert audit("--markdown").stdout == markdown()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.zone"], "cannot be read"),
        (["nowhere"], "no scenario of that name"),
        (["impatient-backp"], "did you mean 'impatient-backup'?"),
        (["folder"], "scenario.yaml cannot be read"),
        (["bytes.zone"], "no text"),
        (["empty.zone"], "--origin DOMAIN"),
        (["good.zone", "--origin", "other.example"], "outside the zone"),
        (["good.zone", "--origin", "acme..example"], "empty label"),
        (["lab.yaml", "--origin", "acme.example"], "--origin is of a zone file"),
        (["--origin", "acme.example"], "--origin is of a zone file"),
        (["good.zone", "--rule", "two-exchange"], "did you mean 'two-exchanges'?"),
        (["good.zone", "--topology", "lab.yaml"], "one thing to judge"),
        (["--markdown", "good.zone"], "--markdown"),
        (["--play"], "--play is of a scenario"),
        (["nosuch", "--play"], "nosuch"),
        (["--topology", "good.zone"], "good.zone"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], said: str) -> None:
    assert said in audit(*words, code=2).stderr


def test_a_file_that_is_too_long_is_refused() -> None:
    with Path("long.zone").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    assert "too long" in audit("long.zone", code=2).stderr


def test_a_story_of_a_product_is_not_for_the_simulation() -> None:
    assert "Postfix" in audit("postfix-no-recipient-list", "--play", code=3).stderr
    assert "mx2 takes mail for any address" in audit("postfix-no-recipient-list").stdout


def test_without_a_lab_it_says_so() -> None:
    assert "no lab called 'nowhere' is up" in audit("--lab", "nowhere", code=3).stderr
