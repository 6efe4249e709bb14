"""An exercise in a real browser, from its beginning to its end: by mouse, and by keyboard alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.axe import findings
from tests.support.board_server import TOKEN, BoardServer
from tests.support.browser import Browser, until
from tests.support.command import Lab

EXERCISE = """\
mxlab: 1
exercise: A <b>short</b> one
summary: Of `mx1`, and who helps out.
minutes: 5
topology: {domain: example.test, mx: [{host: mx1, preference: 10}, {host: mx2, preference: 20}]}
setup:
  - fault: {id: down, kill: mx1}
  - send: {id: batch, count: 3, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 60s, queue: {host: mx2, holds: batch}}
tasks:
  - {id: where, text: "Which host has them now?", answer: {holder-of: batch}, hints: [Ask `mxlab queue`.]}
  - id: guess
    predict: {question: "Will they arrive by themselves? (yes, no)", answer: {is: "yes"}}
  - {id: mend, text: Bring mx1 back., done: {state: {host: mx1, is: running}}, solution: [mxlab start mx1]}
finish: {text: Well done.}
"""  # noqa: E501 - as an author writes it
LESSON = """\
# What this teaches

1. One **host** is down.
2. The other takes the mail: `mxlab queue`.

<img src=http://127.0.0.1:9/pixel onerror="document.title='taken'">
<script>document.title='x'</script>
[a link](javascript:document.title='taken')
"""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[BoardServer]:
    lab = Lab(tmp_path / "state")
    lab.environment["MXLAB_LEARN"] = str(tmp_path / "learn")
    folder = tmp_path / "own" / "short"
    folder.mkdir(parents=True)
    (folder / "exercise.yaml").write_text(EXERCISE)
    (folder / "README.md").write_text(LESSON)
    with BoardServer(lab, "--exercises", str(folder.parent)) as served:
        yield served
    lab.run("down")


@pytest.fixture
def browser(board: BoardServer, tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "browser") as one:
        one.visit(f"{board.root}/?token={TOKEN}")
        yield one


def click(browser: Browser, selector: str) -> None:
    """Press the mouse in the middle of that element, which has to be there and free."""
    found = f"document.querySelector({json.dumps(selector)})"
    until(browser, f"{found} && !{found}.disabled && {found}.offsetParent")
    x, y = browser.evaluate(
        f"(() => {{ const e = {found}; e.scrollIntoView({{block: 'center'}});"
        " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    browser.click(x, y)


def shows(browser: Browser, selector: str, words: str) -> None:
    until(
        browser,
        f"document.querySelector({json.dumps(selector)})?.textContent.includes({json.dumps(words)})",
    )


def test_from_begin_to_done_by_mouse(browser: Browser, board: BoardServer) -> None:
    click(browser, "[data-view=exercise]")
    until(browser, "document.querySelector('[data-exercise=short]')")
    assert findings(browser) == []
    click(browser, "[data-exercise=short]")
    shows(browser, "#exercise-title", "A <b>short</b> one")
    shows(browser, "#exercise-task", "Which host has them now?")
    click(browser, "#exercise-task [data-part=hint]")
    shows(browser, "#exercise-task .hints", "Ask mxlab queue.")
    click(browser, "#exercise-task [aria-label^=Words] button:nth-child(3)")
    click(browser, "#exercise-task [data-part=check]")
    shows(browser, "#exercise-came", "✗ where: that is not it")
    assert findings(browser) == []
    browser.evaluate("document.getElementById('exercise-answer').value = ''")
    click(browser, "#exercise-task [aria-label^=Words] button:nth-child(4)")
    click(browser, "#exercise-task [data-part=check]")
    shows(browser, "#exercise-came", "✓ where: done")
    click(browser, "#exercise-answer")
    browser.type("no")
    click(browser, "#exercise-task [data-part=check]")
    shows(browser, "#exercise-came", "It is yes.")
    shows(browser, "#exercise-tasks", "you guessed no")
    click(browser, "#exercise-task [data-part=solution]")
    shows(browser, "#exercise-task [data-part=solution]", "on record")
    assert board.api("/exercise")["exercise"]["tasks"][2]["shown"] is False
    click(browser, "#exercise-task [data-part=solution]")
    shows(browser, "#exercise-came pre", "mxlab start mx1")
    board.api("/nodes/mx1/start", {})  # whoever does it: the page sees that it is so
    shows(browser, "#exercise-task", "Done")
    shows(browser, "#exercise-task", "Well done.")
    assert browser.evaluate("document.querySelectorAll('#exercise-tasks .done').length") == 3
    assert [one for one in browser.errors if "Failed to load" not in one] == []


def test_from_begin_to_done_by_keyboard_alone(browser: Browser, board: BoardServer) -> None:
    until(browser, "document.getElementById('state').textContent !== 'connecting'")
    browser.strike("4")
    until(browser, "document.querySelector('[data-exercise=short]:not(:disabled)')")
    until_focus(browser, "document.activeElement.dataset.exercise === 'short'")
    browser.strike("Enter")
    until(browser, "document.activeElement.id === 'exercise-answer'")
    browser.type("the host mx2.")
    browser.strike("Enter")
    shows(browser, "#exercise-came", "✓ where: done")
    until(browser, "document.activeElement.id === 'exercise-answer'")
    browser.type("yes")
    browser.strike("Enter")
    shows(browser, "#exercise-task", "Bring mx1 back.")
    until_focus(browser, "document.activeElement.dataset.part === 'skip'")
    browser.strike(" ")
    browser.strike(" ")
    shows(browser, "#exercise-task", "Well done.")
    assert board.api("/exercise")["exercise"]["tasks"][2]["state"] == "skipped"


def until_focus(browser: Browser, holds: str) -> None:
    """Tab until it is so."""
    for _ in range(80):
        if browser.evaluate(holds):
            return
        browser.strike("Tab")
    raise AssertionError(browser.evaluate("document.activeElement.outerHTML"))


def test_a_lesson_is_text_whatever_stands_in_it(browser: Browser, board: BoardServer) -> None:
    board.api("/exercises/short/start", {})
    browser.strike("4")
    shows(browser, "#exercise-lesson", "What this teaches")
    browser.evaluate("document.getElementById('exercise-lesson').open = true")
    shows(browser, "#exercise-lesson", "<img src=http://127.0.0.1:9/pixel")
    inside = "document.querySelector('#exercise-lesson div')"
    assert browser.evaluate(f"{inside}.querySelectorAll('ol > li').length") == 2
    assert browser.evaluate(f"{inside}.querySelector('strong').textContent") == "host"
    assert browser.evaluate(f"{inside}.querySelectorAll('img, script, a, b').length") == 0
    assert browser.evaluate("document.title") == "mxlab board"
    assert [url for url in browser.requests if not url.startswith((board.root, "data:"))] == []


def test_a_lab_that_is_gone_is_brought_up_again_by_reset(
    browser: Browser, board: BoardServer
) -> None:
    board.api("/exercises/short/start", {})
    board.api("/exercise/check", {"answer": "mx2"})
    browser.strike("4")
    shows(browser, "#exercise-far", "1 of 3")
    board.lab("down")
    until(browser, "document.getElementById('state').textContent.includes('the lab is down')")
    shows(browser, "#exercise-about", "is not up here")
    click(browser, "#exercise-task [data-part=check]")
    shows(browser, "#trouble", "is down")
    click(browser, "#exercise-task [data-part=reset]")
    click(browser, "#exercise-task [data-part=reset]")
    shows(browser, "#exercise-far", "0 of 3")
    shows(browser, "#exercise-remarks", "a new lab is brought up")
