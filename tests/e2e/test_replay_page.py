"""A replay in a real browser: it plays, stands still, goes to any moment, and offers nothing that
it cannot do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.board_server import BoardServer
from tests.support.browser import Browser, until
from tests.support.command import Lab

SEEK = """(() => { const slider = document.getElementById('position'); slider.value = %s;
  slider.dispatchEvent(new Event('change')); })()"""
STATE = "document.querySelector('[data-node=%s]').getAttribute('aria-label')"


def text(name: str) -> str:
    return f"document.getElementById({name!r}).textContent"


@pytest.fixture
def board(lab: Lab) -> Iterator[BoardServer]:
    with BoardServer(lab, "five-day-outage", "--paused") as served:
        yield served


@pytest.fixture
def browser(board: BoardServer, tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "browser") as one:
        one.visit(f"{board.root}/?token={board.token}")
        until(one, "document.querySelectorAll('[data-node]').length === 4")
        yield one


def test_it_plays_pauses_and_seeks(browser: Browser) -> None:
    assert browser.evaluate(text("play")).startswith("Play")
    assert str(browser.evaluate(text("said"))).startswith("00:00:00 of 5 d")
    browser.evaluate("document.getElementById('play').click()")
    until(browser, f"{text('play')}.startsWith('Pause')")
    until(browser, f"!{text('said')}.startsWith('00:00:00')")
    browser.press("p")
    until(browser, f"{text('play')}.startsWith('Play')")
    browser.evaluate(SEEK % (2 * 86_400))
    until(browser, f"{text('said')}.startsWith('2 d 00:0')")
    until(browser, f"{STATE % 'mx2'}.includes('3 in its queue')")
    until(browser, f"{STATE % 'mx1'}.includes('stopped')")
    until(browser, f"{STATE % 'client'}.includes('3 in its mailboxes')")
    assert "kill" in str(browser.evaluate(text("picture")))
    assert browser.evaluate(
        """[...document.querySelectorAll('#events time')].every(
          (one) => !/^[2-9] d/.test(one.textContent))"""
    )
    browser.press(",")
    until(browser, f"{text('said')}.startsWith('1 d 21')")
    browser.evaluate(SEEK % "1e9")
    until(browser, f"{text('verdict')}.includes('The run came to pass')")
    until(browser, f"{STATE % 'mx1'}.includes('running')")
    browser.evaluate(SEEK % 0)
    until(browser, "document.getElementById('verdict').hidden")
    assert browser.errors == []


def test_a_jump_to_a_step_of_the_story(browser: Browser) -> None:
    browser.evaluate(
        """(() => { const list = document.getElementById('marks');
          const late = [...list.options].filter((one) => one.textContent.includes('step 7'));
          list.value = late[0].value; list.dispatchEvent(new Event('change')); })()"""
    )
    until(browser, f"{text('said')}.startsWith('23:00:')")


def test_what_cannot_be_done_is_not_offered(browser: Browser) -> None:
    browser.evaluate("document.querySelector('[data-node=mx2]').focus()")
    browser.press("Enter")
    until(browser, f"{text('node-title')}.startsWith('mx2')")
    offered = browser.evaluate(
        """[...document.querySelectorAll('button')].filter((one) => one.offsetParent)
          .map((one) => one.textContent.trim().split(' ')[0])"""
    )
    assert set(offered) == {"Board", "Messages", "Graphs", "Projector", "Play"}
    browser.press("k")  # a key of the live page
    until(browser, f"{STATE % 'mx2'}.includes('running')")
    assert browser.evaluate("document.getElementById('trouble').hidden")


def test_messages_are_read_at_the_moment(browser: Browser) -> None:
    browser.press("2")
    assert browser.evaluate("document.querySelectorAll('#list button').length") == 0
    browser.evaluate(SEEK % "1e9")
    until(browser, "document.querySelectorAll('#list button').length === 6")
    browser.evaluate("document.querySelector('#list button').click()")
    until(browser, f"{text('letter')}.includes('Undelivered Mail Returned to Sender')")
    until(browser, f"{text('letter')}.includes('is the notification')")


def test_a_recording_without_messages_says_so(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    lab("run", "primary-outage", "--backend", "sim", "--record", str(file))
    board = BoardServer(lab, str(file), "--paused")
    with board, Browser(tmp_path / "browser") as browser:
        browser.visit(f"{board.root}/?token={board.token}")
        until(browser, "document.querySelectorAll('[data-node]').length === 4")
        browser.evaluate(SEEK % "1e9")
        browser.press("2")
        until(browser, "document.querySelector('#list button')")
        browser.evaluate("document.querySelector('#list button').click()")
        until(browser, f"{text('letter')}.includes('It cannot be read: the recording')")
        assert browser.errors == []


def test_every_control_has_a_name_and_can_be_reached(browser: Browser) -> None:
    nameless = browser.evaluate(
        """[...document.querySelectorAll('#replay button, #replay input, #replay select')].filter(
          (one) => !(one.getAttribute('aria-label') || one.textContent.trim() && one.tagName ===
            'BUTTON' || one.labels?.length)).map((one) => one.outerHTML)"""
    )
    assert nameless == []
    browser.evaluate(SEEK % 100_000)
    until(browser, f"{text('said')}.startsWith('1 d 03')")
    said = browser.evaluate("document.getElementById('position').getAttribute('aria-valuetext')")
    assert str(said).startswith("1 d 03")
