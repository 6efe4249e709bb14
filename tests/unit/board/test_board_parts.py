"""What a board keeps is bounded, and what strangers wrote is harmless."""

import asyncio
import re
import time
from email.message import EmailMessage

import pytest

from mxlab.board.feed import KEPT, Feed
from mxlab.board.figures import STEPS, Figures
from mxlab.board.letter import html_of, part_of, safe_name, taken_apart
from mxlab.board.mail import GUEST
from mxlab.board.mailbag import Mailbag
from mxlab.board.metrics import metrics
from mxlab_services import events
from mxlab_services.events import Body, Event


def event(body: Body, at: float = 0.0, node: str = "mx1", message: str | None = "<m@x>") -> Event:
    return Event(at, 0, node, message, body)


def accepted(queue_id: str, subject: str = "s") -> Body:
    return events.Accepted(
        queue_id, "alice@client.test", ["bob@example.test"], 10, "d", "peer", subject=subject
    )


def delivered(name: str) -> Body:
    return events.MailboxDelivered("q", "bob@example.test", name, "d")


def test_who_has_fallen_behind_is_told_how_much_is_missing() -> None:
    feed = Feed()
    feed.begin("run", ("mx1",))
    for number in range(KEPT + 10):
        feed.add(event(accepted(f"q{number}")))
    batch = feed.after(1, 500)
    assert batch.missed == 10
    assert (batch.told[0].number, len(batch.told)) == (12, 500)
    assert feed.after(feed.last, 500).told == ()
    assert feed.after(feed.last - 3, 2).told[-1].number == feed.last - 1


async def test_those_who_wait_are_woken_by_the_next_event() -> None:
    feed = Feed()
    waiting = [asyncio.create_task(feed.more(0)) for _ in range(3)]
    await asyncio.sleep(0)
    feed.begin("run", ())
    await asyncio.wait_for(asyncio.gather(*waiting), 5)


def test_figures_keep_their_sums_however_long_the_lab_lives() -> None:
    figures = Figures(("mx1",))
    days = 5 * 86_400
    for second in range(0, days, 60):
        figures.add(event(accepted(f"q{second}"), at=float(second)))
        figures.add(event(events.AttemptStarted(f"q{second}", "d", ["r"], 1), at=float(second)))
        figures.add(event(events.Removed(f"q{second}"), at=second + 30.0))
    series = figures.series
    assert len(series.steps) <= STEPS
    assert sum(step.attempts for step in series.steps) == figures.totals["attempts"] == days // 60
    assert [step.at for step in series.steps] == sorted(step.at for step in series.steps)
    assert figures.depth == {"mx1": 0}


def test_a_queue_that_was_lost_in_a_crash_is_not_counted_on() -> None:
    figures = Figures(("mx1",))
    figures.add(event(accepted("q1")))
    assert figures.depth == {"mx1": 1}
    figures.add(event(events.NodeReady("mx", ["tcp"], 0), message=None))
    assert figures.depth == {"mx1": 0}


def test_a_hundred_thousand_messages_are_searched_as_they_lie() -> None:
    bag = Mailbag()
    for number in range(100_000):
        bag.add(event(accepted(f"q{number}", f"report {number}"), message=f"<{number}@x>"))
        bag.add(event(delivered(f"n{number}"), message=f"<{number}@x>"))
    began = time.process_time()
    found = list(bag.find(query="REPORT 99999"))
    took = time.process_time() - began
    assert [one.subject for one in found] == ["report 99999"]
    assert took < 5  # that it is no search through mailboxes; the bench measures it


def test_series_for_prometheus_have_labels_that_cannot_be_broken_out_of() -> None:
    figures = Figures(("mx1",))
    figures.add(event(events.Tried("q", "h", "a", 10, "done", "250 ok", 0.1, [])))
    text = metrics(figures, 'a"b\\c\nd', up=True)
    assert 'mxlab_up{lab="a\\"b\\\\c\\nd"} 1' in text
    assert re.search(r'^mxlab_replies_total\{.*code="250"\} 1$', text, re.MULTILINE)
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) .*|mxlab_\w+\{.*\} \d+", line)


WICKED = {
    "../../etc/passwd": "passwd",
    "C:\\windows\\system32\\cmd.exe": "cmd.exe",
    "..": "",
    ".profile": "profile",
    "a\x00b\r\nc": "a_x00b_r_nc",
    "\u202egnp.exe": "u202egnp.exe",
    "x" * 500: "x" * 100,
    "Grüße.pdf": "Grüße.pdf",
    'quo"te;.txt': "quo_te_.txt",
}


@pytest.mark.parametrize("name", WICKED)
def test_no_name_of_an_attachment_is_a_path_or_a_command(name: str) -> None:
    assert safe_name(name) == WICKED[name]


def test_a_letter_is_taken_apart() -> None:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message["From"] = "Älice <alice@client.test>"
    message.set_content("plain text")
    message.add_alternative("<p>html</p>", subtype="html")
    message.add_attachment(b"\x00\x01", maintype="image", subtype="png", filename="../a.png")
    inner = EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("within")
    message.add_attachment(inner)
    content = message.as_bytes()
    letter = taken_apart(content)
    assert {h.name: h.value for h in letter.headers}["Subject"] == "Grüße"
    assert (letter.text.strip(), letter.html) == ("plain text", True)
    assert [(p.media_type, p.name, p.attachment) for p in letter.parts] == [
        ("text/plain", "part-0", False),
        ("text/html", "part-1", False),
        ("image/png", "a.png", True),
        ("message/rfc822", "part-3", True),
    ]
    found = part_of(content, 2)
    assert found is not None
    assert found[1] == b"\x00\x01"
    nested = part_of(content, 3)
    assert nested is not None
    assert b"within" in nested[1]
    assert part_of(content, 4) is None
    assert (html_of(content) or "").strip() == "<p>html</p>"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b"Subject: \xff\xfe\r\n\r\nx",
        b"Subject: =?nothing?q?x?=\r\nDate: yesterday\r\nFrom: <<>>,,\r\n\r\n",
        b"Content-Type: text/plain; charset=martian\r\n\r\nhello",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x\r\n--x",
        b"Content-Transfer-Encoding: base64\r\nContent-Type: text/html\r\n\r\n!!!!",
        b"Content-Disposition: attachment; filename*=utf-8''%ff%fe\r\n\r\nx",
        b"Content-Type: message/rfc822\r\n\r\n",
        b"A" * 100_000,
    ],
)
def test_no_message_fails_its_reader(content: bytes) -> None:
    letter = taken_apart(content)
    for part in letter.parts:
        assert part_of(content, part.number) is not None
    assert all(value.isprintable() for header in letter.headers for value in (header.value,))


def test_a_deep_message_does_not_exhaust_the_reader() -> None:
    head = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(90)
    )
    assert taken_apart(head + b"\r\nend").parts


def test_html_mail_is_a_guest() -> None:
    for rule in ("sandbox", "default-src 'none'", "form-action 'none'"):
        assert rule in GUEST
    assert "allow-scripts" not in GUEST
    assert "http:" not in GUEST


def test_the_list_of_messages_keeps_the_last_and_what_is_known_of_them() -> None:
    bag = Mailbag(kept=3)
    for number in range(5):
        name = f"<{number}@x>"
        bag.add(event(accepted(f"q{number}", f"subject {number}"), message=name))
        bag.add(event(delivered(f"n{number}"), message=name))
    assert [one.subject for one in bag.find()] == ["subject 4", "subject 3", "subject 2"]
    assert len(bag) == 3
    assert [one.subject for one in bag.find(query="SUBJECT 4 alice", to="BOB@", mailbox="")] == [
        "subject 4"
    ]
    assert list(bag.find(query="subject 4", sender="nobody")) == []
    assert list(bag.find(query="subject 4", mailbox="carol@example.test")) == []
