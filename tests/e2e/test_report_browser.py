"""The HTML report in a real browser: what it shows, how it answers, and that nothing leaves it."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.history.trace import Trace
from mxlab.model.finding import Finding, Verdict
from mxlab.report.html import html
from mxlab.runner import runner
from mxlab.runner.result import RunResult
from mxlab.scenario.load import load
from mxlab_services import events
from mxlab_services.events import Event
from tests.support.browser import Browser, chromium, flags

OPENS_WITHIN = 2000  # ms
EVENTS = 10_000
NASTY = "</script><script>throw 'out'</script><img src=http://x.test/ onerror=alert(1)>"


@pytest.fixture(scope="module")
def outage() -> RunResult:
    story = load("primary-outage")
    return simulate(lambda: runner.run(story, SimBackend(), lab="page", run_id="page"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def page(outage: RunResult, tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(html([outage]))
    return path


def quiet(browser: Browser) -> None:
    """Nothing went wrong in the page, and it asked for nothing but itself."""
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith("file:///")] == []
    assert len(browser.requests) == 1
    assert browser.evaluate("document.documentElement.dataset.error") is None


def test_the_page_loads_whole_without_a_script_error(page: Path, tmp_path: Path) -> None:
    command = [chromium(), *flags(tmp_path / "home"), "--virtual-time-budget=3000", "--dump-dom"]
    dom = subprocess.check_output([*command, page.as_uri()], text=True, timeout=60)
    assert 'data-ready="' in dom
    assert "data-error" not in dom
    for lane in ("client", "mx1, MX 10", "mx2, MX 20", "dns"):
        assert f"<li>{lane}" in dom
    assert "; kill (down) from +" in dom
    assert dom.count('<td class="address">bob@example.test</td>') == 22
    assert '<td class="state delivered">delivered</td>' in dom
    assert "all 22 that were taken are accounted for" in dom


def test_a_click_on_a_try_shows_its_conversation(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.getElementById('detail').hidden")
    x, y = browser.evaluate(
        """(() => {
          const item = page.run.tries.find((item) => item[6] === "failed");
          const [x1, y1, x2, y2] = page.timeline.segment(item);
          const box = page.canvas.getBoundingClientRect();
          return [box.left + (x1 + x2) / 2, box.top + (y1 + y2) / 2];
        })()"""
    )
    browser.click(x, y)
    said = browser.evaluate("document.getElementById('dialog').innerText")
    assert "The conversation of client with mx1.example.test" in said
    assert "timed out after" in said
    story = browser.evaluate("document.getElementById('story').innerText")
    assert "is responsible now: durable as" in story
    assert "delivered to the mailbox of bob@example.test" in story
    quiet(browser)


def test_the_keyboard_reaches_everything(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate("page.canvas.focus()")
    browser.press("ArrowDown")
    first = browser.evaluate("[page.timeline.message, page.timeline.row]")
    assert first[0] == 0
    browser.press("ArrowRight")
    assert browser.evaluate("page.timeline.message") == 0
    assert browser.evaluate("page.timeline.row") > first[1]
    browser.press("+")
    assert browser.evaluate("page.timeline.axis.to - page.timeline.axis.from") == 0.5
    browser.press("Escape")
    assert browser.evaluate("document.getElementById('detail').hidden")
    found = "document.querySelector('#ledger button')"
    browser.evaluate(f"{found}.focus()")
    browser.evaluate(f"{found}.click()")
    assert "250" in browser.evaluate("document.getElementById('dialog').innerText")
    unnamed = """[...document.querySelectorAll("button, input, select")].filter(
      (e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length"""
    assert browser.evaluate(unnamed) == 0
    quiet(browser)


def test_an_address_leads_to_a_try(browser: Browser, page: Path) -> None:
    browser.open(page, "#message=0&try=1")
    assert "S: 220" in browser.evaluate("document.getElementById('dialog').innerText")


def test_the_ledger_and_the_events_can_be_searched(browser: Browser, page: Path) -> None:
    browser.open(page)
    pages = "document.getElementById('log-pages').innerText"
    assert "1 to 100 of" in browser.evaluate(pages)
    browser.evaluate("byId('log-find').value = 'kill mx1'; page.filterLog()")
    assert browser.evaluate(pages) == "1 to 2 of 2"
    browser.evaluate("byId('ledger-find').value = 'nobody'; page.filterLedger()")
    assert browser.evaluate("document.getElementById('ledger-pages').innerText") == "none"
    quiet(browser)


def test_markup_in_messages_stays_text(browser: Browser, outage: RunResult, tmp_path: Path) -> None:
    trace = Trace()
    for event in outage.trace.events():
        match event.body:
            case events.Tried() as tried:
                body: events.Body = msgspec.structs.replace(
                    tried, dialog=[f"S: 250 {NASTY}"], host=NASTY
                )
            case events.Accepted() as accepted:
                body = msgspec.structs.replace(accepted, recipients=[f"{NASTY}@example.test"])
            case body:
                pass
        trace.add(Event(event.at, event.seq, event.node, event.message, body))
    findings = (Finding(NASTY, Verdict.FAIL, NASTY, (NASTY,), NASTY),)
    nasty = replace(outage, trace=trace, findings=findings, replay=NASTY)
    path = tmp_path / "report.html"
    path.write_text(html([nasty]))
    browser.open(path, "#message=0&try=1")
    assert browser.evaluate("document.images.length") == 0
    assert browser.evaluate("document.scripts.length") == 2
    assert NASTY in browser.evaluate("document.getElementById('dialog').innerText")
    assert NASTY in browser.evaluate("document.getElementById('findings').innerText")
    assert NASTY in browser.evaluate("document.getElementById('ledger').innerText")
    quiet(browser)


def test_ten_thousand_events_open_soon_and_stay_usable(
    browser: Browser, outage: RunResult, tmp_path: Path
) -> None:
    once = outage.trace.events()
    trace, span = Trace(), once[-1].at - once[0].at + 1
    start: dict[str, int] = {}
    for turn in range(EVENTS // len(once) + 1):
        for event in once:
            number = start[event.node] = start.get(event.node, -1) + 1
            name = event.message and f"{turn}.{event.message}"
            trace.add(Event(event.at + turn * span, number, event.node, name, event.body))
    assert len(trace) >= EVENTS
    path = tmp_path / "report.html"
    path.write_text(html([replace(outage, trace=trace)]))
    browser.open(path)
    assert int(browser.evaluate("document.documentElement.dataset.ready")) < OPENS_WITHIN
    timed = "(() => {{ const t = performance.now(); {}; return performance.now() - t; }})()"
    drawn = browser.evaluate(timed.format("page.timeline.draw()"))
    sought = browser.evaluate(timed.format("page.finder.hit(700, 150)"))
    picked = browser.evaluate(timed.format("page.choose(200)"))
    searched = browser.evaluate(timed.format("page.filterLog()"))
    print(f"ready, draw, hit, choose, search (ms): {drawn} {sought} {picked} {searched}")
    assert max(drawn, sought, picked, searched) < 500
    quiet(browser)


def test_light_dark_and_paper(browser: Browser, page: Path) -> None:
    corner = "[...page.canvas.getContext('2d').getImageData(2, 2, 1, 1).data]"

    def seen(scheme: str) -> list[int]:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.call("Emulation.setEmulatedMedia", features=features)
        browser.open(page)
        value: list[int] = browser.evaluate(corner)
        return value

    assert seen("light")[0] > 200
    assert seen("dark")[0] < 60
    browser.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.evaluate(corner)[0] > 200
    browser.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert browser.evaluate(corner)[0] < 60
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert len(browser.call("Page.printToPDF", printBackground=True)["data"]) > 10_000
    quiet(browser)
