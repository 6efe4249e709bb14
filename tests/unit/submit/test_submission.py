"""What the client makes and submits, and what it refuses to."""

import asyncio
import email
import email.policy
import random
from typing import Any

import pytest

from mxlab.backends.sim.backend import simulate
from mxlab_services.config import ClientConfig
from mxlab_services.control.replies import SubmittedMessage
from mxlab_services.control.requests import Submit
from mxlab_services.errors import ControlError, SpoolFull
from mxlab_services.ids import SeededIds
from mxlab_services.message import Envelope, Origin, content_digest, message_key
from mxlab_services.queue.live import LiveConfig
from mxlab_services.submit.submission import Submission
from tests.support.fakes import FakeClock

CONFIG = ClientConfig(
    node="client",
    address="10.0.0.9",
    hostname="client.client.test",
    dns="10.0.0.3",
    networks=[],
)

ALICE, BOB = "alice@client.test", "bob@example.test"


class Queue:
    """An Accept that keeps what it gets, or is full after `room` messages."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.stored: list[tuple[Envelope, bytes]] = []
        self.times: list[float] = []
        self.running = self.most = 0
        self.room = room

    async def __call__(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.01)
        self.running -= 1
        if len(self.stored) >= self.room:
            raise SpoolFull("no space")
        self.stored.append((envelope, content))
        self.times.append(asyncio.get_running_loop().time())
        return f"Q{len(self.stored)}"


def submit(request: Submit, queue: Queue | None = None) -> tuple[Queue, list[SubmittedMessage]]:
    found = queue or Queue()

    async def main() -> list[SubmittedMessage]:
        clock = FakeClock()
        ids = SeededIds(clock, random.Random(1))
        return await Submission(LiveConfig(CONFIG), found, clock, ids)(request)

    return found, simulate(main)


def test_a_message_is_what_its_answer_says() -> None:
    queue, (told,) = submit(Submit(ALICE, [BOB], subject="Hello", headers=[("X-Lab", "1")]))
    ((envelope, content),) = queue.stored
    assert (envelope.sender, [r.address for r in envelope.recipients]) == (ALICE, [BOB])
    assert told.message == message_key(content)
    assert told.message.endswith("@client.client.test>")
    assert told.digest == content_digest(content)
    head = content.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert {b"Subject: Hello", b"X-Lab: 1", b"To: bob@example.test"} <= set(head)
    assert b"\n" not in content.replace(b"\r\n", b"")


@pytest.mark.parametrize("size", [*range(380, 470), 1024, 10_000])
def test_the_size_is_exact(size: int) -> None:
    queue, _ = submit(Submit(ALICE, [BOB], size=size))
    content = queue.stored[0][1]
    assert len(content) == size
    assert content.endswith(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_the_same_seed_makes_the_same_bytes() -> None:
    request = Submit(ALICE, [BOB], count=5)
    assert submit(request)[0].stored == submit(request)[0].stored


def test_many_messages_differ_and_keep_to_the_concurrency() -> None:
    queue, told = submit(Submit(ALICE, [BOB], count=50, concurrency=7))
    assert len({answer.message for answer in told}) == 50
    assert queue.most == 7


def test_the_rate_is_kept() -> None:
    queue, _ = submit(Submit(ALICE, [BOB], count=11, rate=10))
    assert queue.times[-1] == pytest.approx(1.01, abs=0.02)


def test_text_beyond_ascii_is_declared_and_encoded() -> None:
    subject = "Grüße " * 30
    queue, _ = submit(Submit(ALICE, [BOB], subject=subject, body="schön"))
    envelope, content = queue.stored[0]
    assert envelope.eightbit
    assert content.partition(b"\r\n\r\n")[0].isascii()
    import email
    import email.policy

    message = email.message_from_bytes(content, policy=email.policy.default)
    assert message["Subject"].strip() == subject.strip()


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (Submit("alice", [BOB]), "'alice' is no mail address"),
        (Submit(ALICE, ["bob@"]), "'bob@' is no mail address"),
        (Submit(ALICE, [""]), "'' is no mail address"),
        (Submit(ALICE, ["bob@example.test\r\nRCPT TO:<x@y.test>"]), "is no mail address"),
        (Submit(ALICE, ["a b@example.test"]), "is no mail address"),
        (Submit(ALICE, []), "recipients: 1 to 1000, not 0"),
        (Submit(ALICE, [BOB], count=0), "count: 1 to"),
        (Submit(ALICE, [BOB], concurrency=0), "concurrency: 1 to"),
        (Submit(ALICE, [BOB], size=-1), "size: 0 to"),
        (Submit(ALICE, [BOB], size=10**9), "size: 0 to"),
        (Submit(ALICE, [BOB], rate=-1.0), "rate: 0 or more"),
        (Submit(ALICE, [BOB], rate=float("nan")), "rate: 0 or more"),
        (Submit(ALICE, [BOB], subject="a\r\nBcc: x"), "Subject: a line break"),
        (Submit(ALICE, [BOB], headers=[("X: Y", "1")]), "no name of a header field"),
        (Submit(ALICE, [BOB], headers=[("X", "1\n2")]), "X: a line break"),
        (Submit(ALICE, [BOB], body="x" * 999), "more than 998 bytes"),
        (Submit(ALICE, [BOB], body="ü" * 500), "more than 998 bytes"),
        (Submit(ALICE, [BOB], subject="x" * 1200), "Subject: a line of 1209 octets; at most 998"),
        (Submit(ALICE, [BOB], subject="a " + "x" * 998), "Subject: a line of 999 octets"),
        (Submit(ALICE, [BOB], headers=[("X-L", "x" * 994)]), "X-L: a line of 999 octets"),
        (Submit(ALICE, [f"{'x' * 65}@example.test"]), "the local part has 65 octets"),
    ],
)
def test_what_cannot_be_sent_is_refused(request_: Submit, text: str) -> None:
    queue = Queue()
    with pytest.raises(ControlError, match=text) as caught:
        submit(request_, queue)
    assert caught.value.code == -32602
    assert not queue.stored


def test_the_null_sender_and_odd_addresses_are_taken() -> None:
    odd = ['"a b"@example.test', "x+y=z@sub.example.test", "bob@[10.0.0.1]", "jörg@exämple.test"]
    queue, _ = submit(Submit("", odd))
    assert queue.stored[0][0].smtputf8


@pytest.mark.parametrize(
    "text",
    [
        "x" * 989,
        "word " * 400,
        "ü" * 1200,
        "ü " * 600,
        "a " + "x" * 997,
        f"{'x' * 989} {'y' * 997}",
    ],
)
def test_what_can_be_folded_or_encoded_is_sent_and_means_the_same(text: str) -> None:
    queue, _ = submit(Submit(ALICE, [BOB], subject=text))
    content = queue.stored[0][1]
    assert max(map(len, content.split(b"\r\n"))) <= 998
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert parsed["Subject"] == text


def test_each_mailbox_is_in_the_envelope_once() -> None:
    queue, (told,) = submit(Submit(ALICE, [BOB, '"Bob"@EXAMPLE.test', "carol@example.test"]))
    assert told.recipients == [BOB, "carol@example.test"]
    assert [r.address for r in queue.stored[0][0].recipients] == told.recipients


def test_a_full_disk_says_how_many_are_stored() -> None:
    with pytest.raises(ControlError, match="stored 3 of 10, then: no space"):
        submit(Submit(ALICE, [BOB], count=10, concurrency=1), Queue(room=3))


WHOLE = b"Subject: whole\nTo: somebody else\n\n.\nbody\n"


def test_a_whole_message_keeps_its_bytes_and_gets_a_message_id() -> None:
    queue, (told,) = submit(Submit(ALICE, [BOB], content=WHOLE, headers=[("X-Lab", "1")]))
    ((_, content),) = queue.stored
    head, rest = content[: -len(WHOLE) - 5], content[-len(WHOLE) - 5 :]
    assert rest == WHOLE.replace(b"\n", b"\r\n")
    assert head.decode() == f"Message-ID: {told.message}\r\nX-Lab: 1\r\n"
    assert told.message == message_key(content)
    assert told.digest == content_digest(content)


def test_a_whole_message_without_a_message_id_can_be_sent_often() -> None:
    _, told = submit(Submit(ALICE, [BOB], content=WHOLE, count=3))
    assert len({one.message for one in told}) == 3


def test_its_own_message_id_is_kept() -> None:
    queue, (told,) = submit(Submit("", [BOB], content=b"Message-ID: <a@b.test>\n\nx\n"))
    assert told.message == "<a@b.test>"
    assert queue.stored[0][1] == b"Message-ID: <a@b.test>\r\n\r\nx\r\n"


@pytest.mark.parametrize(
    ("content", "needs"),
    [
        (b"Subject: x\n\nx\n", (False, False)),
        (b"Subject: x\n\n\xff\n", (True, False)),
        ("Subject: é\n\nx\n".encode(), (True, True)),
    ],
)
def test_the_envelope_asks_for_what_a_whole_message_needs(
    content: bytes, needs: tuple[bool, bool]
) -> None:
    queue, _ = submit(Submit(ALICE, [BOB], content=content, ret="hdrs", notify="never"))
    envelope = queue.stored[0][0]
    assert (envelope.eightbit, envelope.smtputf8) == needs
    assert (envelope.ret, envelope.recipients[0].notify) == ("HDRS", "NEVER")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"content": b"hello\n"}, "the message: line 1: no header field"),
        ({"content": WHOLE, "size": 100}, "its own body and size"),
        ({"content": WHOLE, "body": "x"}, "its own body and size"),
        ({"content": b"Message-ID: <a@b.test>\n\n", "count": 2}, "one message, not 2"),
        (
            {"content": b"Message-ID: <a@b.test>\n\n", "headers": [("Message-ID", "<c@d.test>")]},
            "has a Message-ID already",
        ),
        ({"ret": "ALL"}, "ret: FULL or HDRS"),
    ],
)
def test_what_a_whole_message_cannot_be_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ControlError, match=said):
        submit(Submit(ALICE, [BOB], **more))
