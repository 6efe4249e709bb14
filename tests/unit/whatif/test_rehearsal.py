"""What becomes of mail in an outage of somebody's set-up."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from mxlab.cli.app import app
from mxlab.model.topology import Exchange, MailDomain, Topology
from mxlab.whatif.outage import DAY, HOUR, Outage, outages
from mxlab.whatif.page import page
from mxlab.whatif.plan import cases, fates
from mxlab.whatif.rehearsal import MESSAGES, Consequence, rehearse
from mxlab.whatif.site import Site, site_of_topology, site_of_zone
from mxlab.whatif.table import became, broken, table_of
from tests.support.site_zone import ZONE

SITE = site_of_zone(ZONE, "acme.example", "acme.zone")
FATE = Consequence(
    outage="mx1", lasts=HOUR, schedule="postfix", sent=8, waited={}, delivered=8, copies=0,
    slowest=None, last_after=None, bounced=0, told_after=None, warned=0,
)  # fmt: skip


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def _outage(site: Site, name: str) -> Outage:
    return next(outage for outage in outages(site) if outage.name == name)


def test_mail_waits_at_the_backup_and_comes_when_the_primary_is_back() -> None:
    fate = rehearse(SITE, _outage(SITE, "mail.acme.example"), HOUR, "postfix")
    assert fate.sent == fate.delivered == MESSAGES
    assert list(fate.waited) == ["backup.provider.example"]
    assert fate.last_after is not None
    assert 0 < fate.last_after < 2 * HOUR
    assert (fate.bounced, fate.copies, fate.broken) == (0, 0, ())


def test_what_lasts_longer_than_the_lifetime_returns_to_its_sender() -> None:
    fate = rehearse(SITE, _outage(SITE, "mail.acme.example"), 6 * DAY, "opensmtpd")
    assert fate.delivered + fate.bounced == fate.sent
    assert fate.bounced > 0
    assert fate.told_after is not None
    assert fate.told_after >= 4 * DAY
    assert fate.warned == fate.sent  # after 4 hours


def test_a_backup_that_fails_alone_is_not_missed() -> None:
    fate = rehearse(SITE, _outage(SITE, "backup.provider.example"), DAY, "postfix")
    assert (fate.waited, fate.delivered) == ({}, fate.sent)


def test_one_name_server_of_two_is_not_missed_and_both_are() -> None:
    one = rehearse(SITE, _outage(SITE, "ns1.acme.example"), DAY, "postfix")
    both = rehearse(SITE, _outage(SITE, "all name servers"), DAY, "postfix")
    assert (one.waited, one.delivered) == ({}, one.sent)
    assert list(both.waited) == ["client"]
    assert both.delivered == both.sent


def test_every_domain_of_a_topology_gets_mail() -> None:
    mx = (Exchange("mx2", 10), Exchange("mx1", 20))
    site = site_of_topology(Topology(domains=(MailDomain("other.test", mx),)))
    fate = rehearse(site, _outage(site, "mx1"), HOUR, "postfix")
    assert fate.delivered == fate.sent == 2 * MESSAGES
    assert set(fate.waited) == {"mx2"}


def test_processes_side_by_side_find_the_same() -> None:
    wanted = cases(SITE, [HOUR], ["exim"])
    assert list(fates(SITE, wanted, 2)) == list(fates(SITE, wanted, 1))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "all delivered"),
        ({"last_after": 0.4}, "all delivered, the last 1s after"),
        ({"last_after": 2520.0, "copies": 1}, "all delivered, the last 42m after; 1 twice"),
        (
            {"delivered": 6, "bounced": 2, "told_after": 432_010.0, "warned": 8},
            "6 of 8 delivered; 2 returned, after 5d; senders told of a delay: 8",
        ),
        ({"broken": ("nothing-lost: 1 lost",)}, "all delivered; nothing-lost: 1 lost"),
    ],
)
def test_a_fate_in_words(more: dict[str, object], said: str) -> None:
    assert became(msgspec.structs.replace(FATE, **more)) == said


def test_what_does_no_harm_stands_apart() -> None:
    late = msgspec.structs.replace(FATE, outage="mx2", waited={"mx1": 3}, last_after=60.0)
    table = table_of([FATE, late])
    assert table.headings == ("fails", "mail waits at", "for 1h")
    assert table.rows == (("mx2", "mx1", "all delivered, the last 1m after"),)
    assert table.harmless == ("mx1",)


def test_a_broken_promise_is_told_with_its_outage() -> None:
    fate = msgspec.structs.replace(FATE, broken=("nothing-lost: 1 lost",))
    assert broken([FATE, fate]) == ["mx1, 1h, postfix: nothing-lost: 1 lost"]


def test_the_page_shows_names_and_runs_nothing() -> None:
    late = msgspec.structs.replace(FATE, outage="<script>", waited={"mx1": 3})
    text = page("<b>", [table_of([late])], {"mx1": 'a"b'})
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "default-src 'none'" in text


def test_the_command_shows_a_table_json_and_a_page(tmp_path: Path) -> None:
    zone, out = tmp_path / "own.zone", tmp_path / "page.html"
    zone.write_text(f"$ORIGIN acme.example.\n{ZONE}")
    options = [str(zone), "--lasts", "1h", "--schedule", "postfix"]
    result = invoke("what-if", *options, "--html", str(out))
    assert result.exit_code == 0, result.output
    assert "mail.acme.example" in result.stdout
    assert "No mail has to wait" in result.stdout
    assert "mail.acme.example" in out.read_text()
    found = json.loads(invoke("what-if", *options, "--json").stdout)
    assert {fate["schedule"] for fate in found["fates"]} == {"postfix"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nowhere.zone"], "cannot be read"),
        (["own.zone"], "--origin DOMAIN"),
        (["own.zone", "--origin", "acme.example", "--schedule", "postfx"], "did you mean"),
        (["own.zone", "--origin", "acme.example", "--lasts", "long"], "no duration"),
        (["own.zone", "--origin", "acme.example", "--lasts", "0s"], "no length"),
        (["own.zone", "--origin", "acme..example"], "empty label"),
        (["lab.yaml", "--origin", "acme.example"], "--origin is of a zone file"),
        (["bytes.zone", "--origin", "acme.example"], "no text"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.zone").write_text(ZONE)
    Path("lab.yaml").write_text("domain: example.test\n")
    Path("bytes.zone").write_bytes(b"\xff\xfe")
    result = invoke("what-if", *options)
    assert result.exit_code == 2
    assert said in result.stderr
