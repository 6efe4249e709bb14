"""The page by the rules of axe-core (accessibility), in every view, light and dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.axe import findings
from tests.support.board_server import TOKEN, BoardServer
from tests.support.browser import Browser, until
from tests.support.command import Lab

BOB = "bob@example.test"
MAIL = """\
From: Alice <alice@client.test>
To: bob@example.test
Subject: An invoice
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain

Hello Bob
--x
Content-Type: text/html

<p>Hello <b>Bob</b>
--x
Content-Type: application/pdf
Content-Disposition: attachment; filename="invoice.pdf"

%PDF
--x--
"""


@pytest.fixture
def browser(lab: Lab, tmp_path: Path) -> Iterator[Browser]:
    """On the page of a lab in which mail was delivered, mail waits, and something is broken."""
    lab("up")
    with BoardServer(lab) as board, Browser(tmp_path / "browser") as one:
        board.api("/send", {"to": [BOB], "raw": MAIL, "batch": "one"})
        board.api("/wait", {"condition": {"delivered": "one"}})
        board.api("/nodes/mx1/kill", {})
        board.api("/faults", {"kind": "refuse", "host": "mx2", "id": "f"})
        board.api("/faults/f", method="DELETE")
        board.api("/send", {"to": [BOB], "count": 2, "batch": "two"})
        board.api("/wait", {"condition": {"deferred": "two"}, "within": 60})
        board.api("/faults", {"kind": "refuse", "host": "mx2"})
        one.visit(f"{board.root}/?token={TOKEN}")
        until(one, "document.querySelectorAll('[data-node]').length === 4")
        until(one, "document.querySelector('#events li')")
        yield one


def views(browser: Browser) -> Iterator[str]:
    """Each view in turn, as somebody brings it up."""
    browser.press("1")
    yield "the picture"
    browser.evaluate("document.querySelector('[data-node=mx2]').focus()")
    browser.press("Enter")
    until(browser, "document.querySelector('#node table') && document.querySelector('#node pre')")
    yield "a node"
    browser.press("2")
    until(browser, "document.querySelector('#list button')")
    yield "messages"
    browser.evaluate("document.querySelector('#list button').click()")
    until(browser, "document.querySelector('#letter iframe')")
    browser.evaluate("document.querySelectorAll('#letter details').forEach((o) => o.open = true)")
    yield "a message"
    browser.press("3")
    until(browser, "document.querySelectorAll('.chart svg').length >= 2")
    yield "graphs"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, scheme: str) -> None:
    browser.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    found = {view: findings(browser) for view in views(browser)}
    browser.press("0")
    assert browser.evaluate("document.body.className") == "projector"
    found |= {f"{view}, projected": findings(browser) for view in views(browser)}
    assert {view: said for view, said in found.items() if said} == {}
    assert len(found) == 10


def test_axe_finds_what_is_wrong(browser: Browser) -> None:
    browser.evaluate(
        """(() => {
          document.documentElement.removeAttribute("lang");
          document.querySelector("#send label").replaceWith(document.createElement("input"));
          const pale = document.createElement("p");
          pale.textContent = "hard to read";
          pale.style.cssText = "color: #aaa; background: #fff";
          document.querySelector("main").append(pale);
        })()"""
    )
    rules = {one.partition(":")[0] for one in findings(browser)}
    assert {"html-has-lang", "label", "color-contrast"} <= rules
