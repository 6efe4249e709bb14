"""What is heard of SMTP that goes by: envelopes, contents, queue ids, whatever the pieces."""

import asyncio

import pytest

from mxlab_services.message import content_digest
from mxlab_services.products.hearing import Digesting, Hearing, read_content
from mxlab_services.products.overhear import Conversation

TRACE = b"Received: from a\r\n\tby b; now\r\nReturn-Path: <x@y>\r\n"
CONTENT = TRACE + b"Subject: dots\r\nMessage-ID: <m@c.test>\r\n\r\n.\r\n..two\r\nend\r\n"


def spoken(content: bytes) -> bytes:
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


ONE = [
    ("S", b"220-mx\r\n220 ready\r\n"),
    ("C", b"EHLO c.test\r\n"),
    ("S", b"250-mx\r\n250 PIPELINING\r\n"),
    ("C", b"MAIL FROM:<a@c.test> SIZE=10\r\nRCPT TO:<b@d.test> NOTIFY=NEVER\r\n"),
    ("C", b"RCPT TO:<no@d.test>\r\nDATA\r\n"),
    ("S", b"250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n"),
    ("C", spoken(CONTENT)),
    ("S", b"250 2.0.0 Ok: queued as 4jbYQ1LWF\r\n"),
]  # fmt: skip


def run(script: list[tuple[str, bytes]], size: int, hearing: Hearing) -> Conversation:
    talk = Conversation("192.0.2.1", hearing)
    for who, said in script:
        for start in range(0, len(said), size):
            (talk.client if who == "C" else talk.server)(said[start : start + size])
    return talk


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_a_message_is_known_by_its_queue_id(size: int) -> None:
    hearing = Hearing()
    talk = run(ONE + ONE[3:-1] + [("S", b"250 2.0.0 Ok: queued as SECOND1\r\n")], size, hearing)
    for queue_id in ("4jbYQ1LWF", "SECOND1"):
        heard = await hearing.find(queue_id)
        assert heard is not None
        assert (heard.sender, heard.recipients) == ("a@c.test", ("b@d.test",))
        assert heard.silent == ("b@d.test",)
        assert (heard.peer, heard.helo, heard.protocol) == ("192.0.2.1", "c.test", "ESMTP")
        content = heard.content
        assert (content.key, content.subject, content.size) == ("<m@c.test>", "dots", len(CONTENT))
        assert content.digest == content_digest(CONTENT)
    assert talk.at_rest


@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_chunks_are_heard(size: int) -> None:
    hearing = Hearing()
    half = len(CONTENT) // 2
    chunks = b"MAIL FROM:<>\r\nRCPT TO:<b@d.test>\r\nBDAT %d\r\n%sBDAT %d LAST\r\n%s" % (
        half, CONTENT[:half], len(CONTENT) - half, CONTENT[half:],
    )  # fmt: skip
    replies = b"250 ok\r\n250 ok\r\n250 ok\r\n250 OK id=1xWvnu-00000I-1K\r\n"
    talk = run([*ONE[:3], ("C", chunks), ("S", replies)], size, hearing)
    heard = await hearing.find("1xWvnu-00000I-1K")
    assert heard is not None
    assert heard.content.digest == content_digest(CONTENT)
    assert talk.at_rest


async def test_after_starttls_it_is_deaf() -> None:
    hearing = Hearing()
    script = [*ONE[:3], ("C", b"STARTTLS\r\n"), ("S", b"220 go\r\n"), *ONE[3:]]
    assert run(script, 1000, hearing).deaf
    assert await hearing.find("4jbYQ1LWF") is None
    refused = [*ONE[:3], ("C", b"STARTTLS\r\n"), ("S", b"454 no\r\n"), *ONE[3:]]
    assert not run(refused, 1000, hearing).deaf
    assert await hearing.find("4jbYQ1LWF") is not None


async def test_what_is_refused_is_not_told() -> None:
    hearing = Hearing()
    talk = run([*ONE[:-1], ("S", b"552 4jbYQ1LWF is too large\r\n")], 1000, hearing)
    assert await hearing.find("4jbYQ1LWF") is None
    assert talk.at_rest


@pytest.mark.parametrize(
    "script",
    [
        [("S", b"hello\r\n")],
        [("S", b"220 " + b"x" * 100_000)],
        [*ONE[:3], ("C", b"x" * 100_000)],
        [*ONE[:3], ("C", b"NOOP\r\n" * 10_000)],
        [*ONE[:3], ("C", b"BDAT many LAST\r\n")],
        [*ONE[:3], ("C", b"DATA\r\n" + b"y" * 100_000)],
    ],
)
async def test_rubbish_makes_it_deaf_and_no_more(script: list[tuple[str, bytes]]) -> None:
    talk = run(script, 4096, Hearing())
    assert talk.deaf
    talk.client(b"QUIT\r\n")
    talk.server(b"221 bye\r\n")
    assert not talk.at_rest


async def test_a_reply_that_is_under_way_is_waited_for() -> None:
    hearing = Hearing()
    talk = run(ONE[:-1], 1000, hearing)
    finding = asyncio.create_task(hearing.find("4jbYQ1LWF"))
    await asyncio.sleep(0)
    assert not finding.done()
    talk.server(ONE[-1][1])
    assert await finding is not None
    talk = run(ONE[:-1], 1000, hearing)
    finding = asyncio.create_task(hearing.find("OTHER"))
    await asyncio.sleep(0)
    talk.stop()  # the connection broke
    assert await asyncio.wait_for(finding, 1) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"no header\r\n",
        b"Subject: x\r\n\r\n",
        TRACE,
        TRACE + b"\r\nbody\r\n",
        CONTENT,
    ],
)
def test_content_is_read_as_a_whole_or_in_pieces(content: bytes) -> None:
    whole = read_content(content)
    for size in (1, 2, 3, 50):
        digesting = Digesting()
        for start in range(0, len(content), size):
            digesting.feed(content[start : start + size])
        assert digesting.end() == whole
    assert whole.digest == content_digest(content)
