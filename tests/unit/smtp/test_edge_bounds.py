"""What one client may take of a server: connections, and memory before its final dot."""

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxlab.backends.sim.backend import SimLab
from mxlab_services import events
from mxlab_services.config import Limits
from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.faults.kinds import DiskFull
from mxlab_services.faults.requests import FaultClear, FaultSet
from mxlab_services.queue.room import Room
from mxlab_services.reply import Reply
from mxlab_services.smtp.server.data import TOO_LARGE, checked, read_data
from mxlab_services.smtp.server.listener import CONTENT
from tests.support.edge_lab import OPENING, Desk, desk
from tests.support.stories import BOB, happened, in_lab, mail_of, send, talk, until

# --- connections ----------------------------------------------------------------------------------

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def dial(at: Desk, source: str) -> tuple[str, Ends]:
    """Connect from that address; the greeting, and the ends."""
    host, _, port = at.edge.addresses[0].rpartition(":")
    ends = await asyncio.open_connection(host, int(port), local_addr=(source, 0))
    async with asyncio.timeout(10):
        return (await ends[0].readline()).decode().strip(), ends


async def leave(ends: Ends) -> None:
    """Say goodbye, and wait until the server has closed."""
    ends[1].write(b"QUIT\r\n")
    async with asyncio.timeout(10):
        await ends[0].read()
    ends[1].close()
    await ends[1].wait_closed()


async def test_a_client_with_too_many_connections_is_told_and_no_other() -> None:
    async with desk(sessions_per_client=2) as at:
        open_ends = [await dial(at, "127.0.0.1") for _ in range(2)]
        for _ in range(3):
            told, (reader, writer) = await dial(at, "127.0.0.1")
            assert told == "421 4.7.0 too many connections from 127.0.0.1; try again later"
            async with asyncio.timeout(10):
                assert await reader.read() == b""  # and closed
            writer.close()
        refused = [body for body in at.events if isinstance(body, events.Refused)]
        assert [(body.verb, body.peer) for body in refused] == [("CONNECT", "127.0.0.1")] * 3
        other, other_ends = await dial(at, "127.0.0.2")
        assert other.startswith("220 ")
        open_ends[0][1][1].write(b"NOOP\r\n")  # who was there before is not disturbed
        assert (await open_ends[0][1][0].readline()).startswith(b"250")
        await leave(open_ends[0][1])
        again, ends = await dial(at, "127.0.0.1")
        assert again.startswith("220 ")
        for each in (ends, open_ends[1][1], other_ends):
            await leave(each)


async def test_what_is_refused_takes_no_room_from_others() -> None:
    async with desk(sessions=3, sessions_per_client=2) as at:
        kept = [await dial(at, "127.0.0.1") for _ in range(5)]
        told, ends = await dial(at, "127.0.0.2")
        assert told.startswith("220 ")
        for _, each in kept[:2]:
            await leave(each)
        await leave(ends)
        for _, (_, writer) in kept[2:]:
            writer.close()


async def test_a_connection_that_is_reset_counts_no_more() -> None:
    async with desk(sessions_per_client=1) as at:
        _, (_, writer) = await dial(at, "127.0.0.1")
        writer.transport.abort()
        async with asyncio.timeout(10):
            greeted, ends = await dial(at, "127.0.0.1")
            while not greeted.startswith("220"):
                ends[1].close()
                greeted, ends = await dial(at, "127.0.0.1")
        await leave(ends)


def test_the_backlog_of_a_sender_of_the_lab_fits() -> None:
    """Two destinations at one host at full concurrency, and none of it is refused."""
    limits = Limits()
    assert limits.sessions_per_client >= 2 * limits.destination_concurrency
    assert limits.sessions >= 2 * limits.sessions_per_client

    async def story(lab: SimLab) -> int:
        await lab.nodes["mx1"].kill()
        await lab.nodes["mx2"].kill()
        for number in range(150):
            await send(lab, BOB, subject=f"n{number}")
        await lab.nodes["mx1"].start()
        await until(lab, "mx1", events.MailboxDelivered, 150)
        return len(await happened(lab, "mx1", events.Refused))

    assert in_lab(story) == 0


# --- content --------------------------------------------------------------------------------------


class Shelf:
    """Scratches in memory, of which one may refuse. `closed` counts."""

    def __init__(self, refuse: Exception | None = None) -> None:
        self.refuse = refuse
        self.made = self.closed = 0
        self.largest = 0

    def __call__(self) -> "Aside":
        self.made += 1
        return Aside(self)


class Aside:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._data = b""
        self._open = True

    def write(self, data: bytes | bytearray) -> None:
        if self._shelf.refuse is not None:
            raise self._shelf.refuse
        self._data += data
        self._shelf.largest = max(self._shelf.largest, len(data))

    def read(self) -> bytes:
        assert self._open
        return self._data

    def close(self) -> None:
        self._shelf.closed += self._open
        self._open = False


async def took(pieces: list[bytes], limits: Limits, shelf: Shelf) -> tuple[bytes | Reply, bytes]:
    """What becomes of content that comes in these pieces, and what is left in the reader."""
    reader = asyncio.StreamReader()

    async def feed() -> None:
        for piece in pieces:
            reader.feed_data(piece)
            await asyncio.sleep(0)
        reader.feed_eof()

    feeding = asyncio.create_task(feed())
    raw = await read_data(reader, limits, shelf, lambda count: None)
    await feeding
    found = raw if isinstance(raw, Reply) else checked(raw.take(), limits, 100)
    return found, await reader.read()


CONTENTS = st.lists(
    st.sampled_from([b"\r\n", b".", b"..", b"\r\n.", b"x" * 30, b"\r", b"\n", b"abc", b".\r"]),
    max_size=30,
).map(b"".join)


@settings(max_examples=300)
@given(CONTENTS, st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(4, 60))
def test_content_put_aside_is_the_same_content(body: bytes, cuts: list[int], most: int) -> None:
    """Wherever it is split, and however little is held in memory."""
    stream = body + b"\r\n.\r\nQUIT\r\n"
    pieces: list[bytes] = []
    while stream:
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(stream[:size])
        stream = stream[size:]
    shelf = Shelf()
    in_memory = asyncio.run(took(pieces, Limits(), Shelf()))
    on_disk = asyncio.run(took(pieces, Limits(content_in_memory=most), shelf))
    assert on_disk == in_memory
    assert shelf.closed == shelf.made


async def test_what_cannot_be_put_aside_is_refused_after_the_dot_only() -> None:
    limits = Limits(content_in_memory=100)
    pieces = [b"x" * 80 + b"\r\n"] * 50 + [b".\r\nNOOP\r\n"]
    for refuse, told in ((SpoolFull("full"), "452 4.3.1"), (SpoolError("broken"), "451 4.3.0")):
        shelf = Shelf(refuse)
        found, rest = await took(pieces, limits, shelf)
        assert str(found).startswith(told)
        assert (rest, shelf.made, shelf.closed) == (b"NOOP\r\n", 1, 1)


async def test_what_is_too_large_is_not_kept_anywhere() -> None:
    limits = Limits(content_in_memory=100, message_size=1000)
    shelf = Shelf()
    found, rest = await took([b"x" * 80 + b"\r\n"] * 500 + [b".\r\nNOOP\r\n"], limits, shelf)
    assert (found, rest, shelf.closed) == (TOO_LARGE, b"NOOP\r\n", 1)


async def test_who_leaves_before_the_dot_leaves_nothing_behind() -> None:
    shelf = Shelf()
    with pytest.raises(asyncio.IncompleteReadError):
        await took([b"x" * 80 + b"\r\n"] * 50, Limits(content_in_memory=100), shelf)
    assert shelf.closed == shelf.made == 1


async def test_a_large_message_comes_through_the_edge_whole() -> None:
    content = b"Subject: large\r\n\r\n" + b"0123456789" * 90 + b"\r\n"
    async with desk(content_in_memory=1000) as at:
        lines = await at.say(OPENING + content * 700 + b".\r\nQUIT\r\n")
    assert lines[-2].startswith("250 2.0.0 Ok: queued as ")
    assert at.taken[0][1] == content * 700


def test_a_full_disk_refuses_it_in_the_simulation_too() -> None:
    async def story(lab: SimLab) -> list[str]:
        large = "x" * 500
        body = "\r\n".join([large] * 700)
        await lab.nodes["mx1"].request(FaultSet("full", DiskFull("mx1")))
        opening = ["EHLO x.test", "MAIL FROM:<a@client.test>", f"RCPT TO:<{BOB}>", "DATA"]
        refused = await talk(lab, "mx1", *opening, f"{body}\r\n.")
        await lab.nodes["mx1"].request(FaultClear(all=True))
        accepted = await talk(lab, "mx1", *opening, f"{body}\r\n.")
        await until(lab, "mx1", events.MailboxDelivered)
        (mail,) = await mail_of(lab, "mx1", BOB)
        assert mail.count(large) == 700
        return [refused[-1], accepted[-1]]

    refused, accepted = in_lab(story)
    assert refused.startswith("452 4.3.1")
    assert accepted.startswith("250 2.0.0")


# --- memory after the dot -------------------------------------------------------------------------


async def test_room_is_given_in_order_and_never_beyond_its_bound() -> None:
    room, inside, order, peak = Room(10), 0, list[int](), 0

    async def use(number: int, size: int) -> None:
        nonlocal inside, peak
        async with room.of(size):
            order.append(number)
            inside += size
            peak = max(peak, inside)
            await asyncio.sleep(0)
            inside -= size

    sizes = [4, 4, 8, 1, 25, 2, 0]
    await asyncio.gather(*(use(number, size) for number, size in enumerate(sizes)))
    assert [number for number in order if sizes[number]] == [0, 1, 2, 3, 4, 5]
    assert order.index(6) == 2  # nothing never waits
    assert peak == 25  # it was alone


async def test_who_gives_up_waiting_gives_way() -> None:
    room = Room(10)
    done = list[str]()

    async def use(name: str, size: int) -> None:
        async with room.of(size):
            done.append(name)

    async with room.of(10):
        tasks = [asyncio.create_task(use(name, 6)) for name in ("a", "b", "c")]
        await asyncio.sleep(0)
        tasks[0].cancel()
    tasks[1].cancel()  # let in already, and not yet there
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == ["c"]
    async with room.of(10):
        done.append("all of it is free")
    assert len(done) == 2


async def test_large_content_waits_for_its_turn_and_is_accepted_though_its_client_left() -> None:
    """Two messages, together more than the room: the second is read when the first is stored."""
    gate = asyncio.Event()

    async def passed() -> None:
        await gate.wait()

    size = CONTENT // 2 + 1024
    line = b"x" * 996 + b"\r\n"
    content = line * (size // len(line) + 1)
    async with desk(message_size=CONTENT) as at:
        at.before = passed
        ends = []
        for _ in range(2):
            reader, writer = await at.connect()
            writer.write(OPENING + content + b".\r\n")
            writer.write_eof()
            ends.append((reader, writer))
        async with asyncio.timeout(30):
            for reader, _ in ends:
                for _ in range(14):
                    said = await reader.readline()
                    if said.startswith(b"354"):
                        break
        ends[1][1].transport.abort()
        gate.set()
        async with asyncio.timeout(30):
            assert b"250 2.0.0 Ok" in await ends[0][0].read()
        ends[0][1].close()
    assert 1 <= len(at.taken) <= 2
    assert all(len(one[1]) == len(content) for one in at.taken)


async def test_limits_that_are_changed_hold_from_the_next_transaction_on() -> None:
    async with desk(message_size=5000) as it:
        reader, writer = await it.connect()

        async def said(command: str) -> str:
            writer.write(f"{command}\r\n".encode())
            while (line := await reader.readline())[3:4] == b"-":
                pass
            return line.decode().rstrip()

        await reader.readline()
        await said("EHLO c.test")
        assert (await said("MAIL FROM:<a@c.test> SIZE=4000")).startswith("250")
        it.live.change(
            msgspec.structs.replace(
                it.live.config,
                limits=Limits(message_size=1000, recipients=1),
                recipients=["b@example.test"],
            )
        )
        assert (await said("RCPT TO:<b@example.test>")).startswith("250")
        assert (await said("RCPT TO:<c@example.test>")).startswith("550")
        await said("RSET")
        assert (await said("MAIL FROM:<a@c.test> SIZE=4000")).startswith("552")
        assert (await said("MAIL FROM:<a@c.test> SIZE=400")).startswith("250")
        assert (await said("RCPT TO:<b@example.test>")).startswith("250")
        assert (await said("RCPT TO:<b@example.test>")).startswith("452")
        writer.close()
        await writer.wait_closed()
