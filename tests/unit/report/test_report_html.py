"""The HTML report as a file: whole, self-contained, and with nothing in it that runs but its own.
What a browser makes of it is tested in tests/e2e/test_report_browser.py."""

import base64
import hashlib
import re
from dataclasses import replace

import msgspec

from mxlab.history.trace import LAB
from mxlab.model.finding import Finding, Verdict
from mxlab.model.scenario import Scenario
from mxlab.model.step import Say
from mxlab.report.html import html
from mxlab.report.view import View
from mxlab.report.viewer import view
from mxlab.runner.result import RunResult
from mxlab_services import events
from tests.support.history import ALICE, BOB, MESSAGE, History, through_both
from tests.support.reports import Reader, data_of


def result(history: History, title: str = "A title") -> RunResult:
    return RunResult(
        scenario=Scenario(title=title, steps=(Say("x"),), expect=("nothing-lost",), id="story"),
        backend="sim",
        run_id="r1",
        seed=5,
        time_scale=1.0,
        verdict=Verdict.PASS,
        findings=(Finding("nothing-lost", Verdict.PASS, "all are there"),),
        trace=history.trace(),
        evidence=history.evidence(),
        durations={"steps": 1.25},
        lab_seconds=60.0,
        replay="mxlab run story",
    )


def test_the_page_needs_nothing_else() -> None:
    page = Reader(html([result(through_both())]))
    assert not {"link", "img", "iframe", "base", "object", "embed"} & set(page.tags)
    assert not {"src", "style", "srcset", "action"} & {name for name, _ in page.attributes}
    assert [value for name, value in page.attributes if name == "href"] == ["#timeline"]
    assert not re.search(r"https?:|@import|url\(", "".join(page.content["style"]))
    risky = r"https?:|fetch\(|XMLHttp|import\(|eval\(|innerHTML|insertAdjacent|write\("
    assert not re.search(risky, "".join(page.content["code"]))


def test_only_the_pages_own_script_and_style_are_admitted() -> None:
    page = Reader(html([result(through_both())]))
    policy = next(value for name, value in page.attributes if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind in ("code", "style"):
        digest = hashlib.sha256("".join(page.content[kind]).encode()).digest()
        assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy


def test_nothing_from_a_run_ends_the_element_around_it() -> None:
    title = "</script></title></pre><script>x</script><!--slot:script--><!-- & \u2028 \\"
    page = html([result(through_both(), title=title)])
    assert data_of(page)[0]["title"] == title.replace("\u2028", r"\u2028")
    assert Reader(page).tags.count("script") == 2
    assert "\u2028" not in page.partition('id="data"')[2].partition("</script>")[0]


def test_the_text_report_is_there_for_a_reader_without_scripts() -> None:
    said = "".join(Reader(html([result(through_both())])).content["pre"])
    assert "pass  nothing-lost: all are there" in said


def test_several_runs_share_a_page() -> None:
    runs = [result(through_both()), result(through_both(), title="Another")]
    assert [run["title"] for run in data_of(html(runs))] == ["A title", "Another"]


def test_the_page_is_the_same_for_the_same_run() -> None:
    assert html([result(through_both())]) == html([result(through_both())])


def seen(history: History) -> View:
    found = view(result(history))
    assert msgspec.json.decode(msgspec.json.encode(found), type=View) == found
    return found


def test_a_lane_for_each_node_with_the_depth_of_its_queue() -> None:
    found = seen(through_both())
    assert [lane.name for lane in found.lanes] == ["client", "mx1", "mx2", "dns"]
    assert [lane.role for lane in found.lanes] == ["client", "MX 10", "MX 20", "DNS"]
    for lane in found.lanes[:3]:
        times = [at for at, _ in lane.depth]
        assert times == sorted(times)
        assert max((depth for _, depth in lane.depth), default=0) <= 1
        assert all(depth >= 0 for _, depth in lane.depth)
    assert found.lanes[0].depth[0][1] == 1


def test_a_way_leads_from_hop_to_hop() -> None:
    found = seen(through_both())
    number = found.messages.index(MESSAGE)
    hops = [
        (found.lanes[item.lane].name, found.lanes[item.to].name, item.fate)
        for item in found.tries
        if item.message == number
    ]
    assert ("client", "mx2", "ok") in hops
    assert ("mx2", "mx1", "ok") in hops
    assert all(item.begin <= item.end for item in found.tries)
    assert all(found.rows[item.event].kind == "relay.tried" for item in found.tries)


def test_what_still_waits_stays_until_the_end() -> None:
    history = History()
    history.event("client", events.Accepted("Q1", ALICE, [BOB], 9, "d", ""))
    history.event("mx1", events.NodeReady("mx", []), None)
    (stay,) = seen(history).stays
    assert (stay.begin, stay.end) == (0.0, 10.0)


def test_a_fault_is_shaded_until_it_is_healed() -> None:
    history = through_both()
    history.event(LAB, events.LabFault("one", "kill", "mx1"), None)
    history.event(LAB, events.LabFault("two", "drop", "elsewhere"), None)
    history.event(LAB, events.LabHealed("one"), None)
    one, two = seen(history).shades
    assert (one.id, one.lane, one.end) == ("one", 1, one.begin + 20.0)
    assert (two.id, two.lane, two.end) == ("two", -1, None)


def test_a_lost_reply_is_neither_success_nor_failure_and_says_nothing_of_the_next_try() -> None:
    history = History()
    history.event("client", events.Accepted("Q1", ALICE, [BOB], 9, "d", ""))
    host = "mx1.example.test"
    history.event("client", events.Tried("Q1", host, "10.0.0.1", 10, "dot", "cut", 0.5, []))
    history.event("client", events.Outcome("Q1", BOB, "unknown", "cut", host))
    history.event("client", events.Tried("Q1", host, "10.0.0.1", 10, "rcpt", "550 no", 0.5, []))
    history.event("client", events.Tried("Q2", host, "10.0.0.1", 10, "rcpt", "550 no", 0.5, []))
    history.event("client", events.Tried("Q2", "x.test", "10.0.0.9", 10, "connect", "4.4.1", 0, []))
    history.event("client", events.Tried("Q2", host, "10.0.0.1", 10, "skipped", "passed", 0, []))
    found = seen(history).tries
    assert [item.fate for item in found] == ["unknown", "refused", "refused", "failed", "skipped"]
    assert found[3].to == -1
    assert found[0].end - found[0].begin == 0.5


def test_a_notification_stands_in_the_story_of_what_it_is_about() -> None:
    history = through_both()
    notice = events.Bounced("Q7", MESSAGE, "Q1", ALICE, [BOB], "failed")
    history.event("mx1", notice, "<notice@mx1.test>")
    found = seen(history)
    (told,) = found.notices
    assert found.messages[told.about] == MESSAGE
    assert told.text.startswith(f"tells {ALICE} that it is failed")


def test_real_time_stands_apart_from_lab_time() -> None:
    found = view(replace(result(through_both()), real_seconds=0.125))
    assert (found.real_seconds, found.lab_seconds) == (0.125, 60.0)


def test_a_run_without_any_event_has_a_page() -> None:
    assert data_of(html([result(History())]))[0]["end"] == 0.0
