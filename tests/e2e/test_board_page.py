"""The page in a real browser: by keyboard alone, with mail that tries everything, while the lab
goes and comes back."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.support.board_server import TOKEN, BoardServer
from tests.support.browser import Browser, until
from tests.support.command import Lab

BOB = "bob@example.test"
LARGEST = 300 * 1024  # bytes of the page, all its files together
WICKED = """\
From: Eve <eve@client.test>
To: bob@example.test
Subject: <script>document.title='taken'</script>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/html; charset=utf-8

<html><head><meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/refresh">
<style>@import url(http://127.0.0.1:9/css); body{background:url(http://127.0.0.1:9/picture)}</style>
<base href="http://127.0.0.1:9/"></head><body onload="parent.document.title='taken'">
<h1>Hello</h1><script>parent.document.title='taken';fetch('http://127.0.0.1:9/fetch')</script>
<img src="http://127.0.0.1:9/pixel" onerror="parent.document.title='taken'">
<form action="http://127.0.0.1:9/form" method="post"><button autofocus>go</button></form>
<iframe src="http://127.0.0.1:9/frame"></iframe><object data="http://127.0.0.1:9/o"></object>
<link rel="stylesheet" href="http://127.0.0.1:9/link"><svg onload="parent.document.title='x'"/>
</body></html>
--x
Content-Type: application/pdf
Content-Disposition: attachment; filename="../../evil.pdf"

%PDF
--x--
"""


@pytest.fixture
def board(lab: Lab) -> Iterator[BoardServer]:
    lab("up")
    with BoardServer(lab) as served:
        yield served


@pytest.fixture
def browser(board: BoardServer, tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "browser") as one:
        one.visit(f"{board.root}/?token={TOKEN}")
        yield one


def text(name: str) -> str:
    return f"document.getElementById({name!r}).textContent"


def test_the_token_is_gone_from_the_address(browser: Browser) -> None:
    assert "token" not in str(browser.evaluate("location.href"))
    assert TOKEN not in str(browser.evaluate("document.cookie"))


def test_the_outage_by_keyboard_alone(browser: Browser, board: BoardServer) -> None:
    until(browser, "document.querySelectorAll('[data-node]').length === 4")
    browser.evaluate("document.querySelector('[data-node=mx1]').focus()")
    browser.press("Enter")
    until(browser, f"{text('node-title')}.startsWith('mx1')")
    browser.press("k")
    until(browser, "document.querySelector('[data-node=mx1].stopped')")
    board.api("/send", {"to": [BOB], "count": 3, "batch": "b"})
    until(browser, "document.querySelector('[data-node=mx2] .depth').textContent === '3'")
    label = browser.evaluate("document.querySelector('[data-node=mx2]').getAttribute('aria-label')")
    assert "3 in its queue" in str(label)
    browser.press("s")
    until(browser, "document.querySelector('[data-node=mx1].running')")
    board.api("/queues/flush", {})
    until(browser, "document.querySelector('[data-node=mx2] .depth').textContent === '0'")
    browser.press("2")
    until(browser, "document.querySelectorAll('#list button').length === 3")
    browser.press("3")
    until(browser, "document.querySelectorAll('.chart svg').length >= 2")
    assert browser.errors == []


def test_a_guest_reaches_nothing(browser: Browser, board: BoardServer) -> None:
    board.api("/send", {"to": [BOB], "raw": WICKED, "batch": "b"})
    board.api("/wait", {"condition": {"delivered": "b"}})
    browser.press("2")
    until(browser, "document.querySelector('#list button')")
    browser.evaluate("document.querySelector('#list button').click()")
    until(browser, "document.querySelector('#letter iframe')")
    browser.evaluate(
        "new Promise((done) => { const f = document.querySelector('#letter iframe');"
        " f.addEventListener('load', done); f.loading = 'eager'; setTimeout(done, 3000); })"
    )
    assert browser.evaluate("document.title") == "mxlab board"
    assert browser.evaluate("document.querySelectorAll('#list script').length") == 0
    assert [url for url in browser.requests if not url.startswith((board.root, "data:"))] == []
    name = browser.evaluate("document.querySelector('#letter a[download]').download")
    assert name == "evil.pdf"


def test_a_lab_that_goes_and_comes_back(browser: Browser, lab: Lab) -> None:
    until(browser, f"{text('state')}.startsWith('up')")
    lab("down")
    until(browser, f"{text('state')}.includes('the lab is down')")
    lab("up")
    until(browser, f"{text('state')}.startsWith('up')")


def test_an_event_is_on_the_page_soon_after_it_happened(
    browser: Browser, board: BoardServer
) -> None:
    until(browser, f"{text('state')}.startsWith('up')")
    board.api("/send", {"to": [BOB], "subject": "here", "batch": "b"})
    until(browser, f"{text('events')}.includes('mailbox of bob@example.test')")


def test_every_control_has_a_name(browser: Browser) -> None:
    until(browser, "document.querySelectorAll('[data-node]').length === 4")
    nameless = browser.evaluate(
        """[...document.querySelectorAll('button, input, select, [role=button], iframe')].filter(
          (one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.title
            || one.labels?.length)).map((one) => one.outerHTML)"""
    )
    assert nameless == []


def test_the_page_is_small() -> None:
    own = files("mxlab.board").joinpath("page").iterdir()
    assert sum(len(file.read_bytes()) for file in own) < LARGEST
