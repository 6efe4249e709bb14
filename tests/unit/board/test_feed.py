"""Viewers of a feed: none holds up another, none makes it grow, whoever is late is told so."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from mxlab.board.app import AT_A_TIME, _stream
from mxlab.board.board import Board
from mxlab.board.feed import KEPT, KEPT_BYTES, RECENT, Feed
from mxlab.errors import NotUp
from mxlab_services import events
from mxlab_services.events import Event
from tests.support.boards import Asking, on_board

VIEWERS = 10


def told(number: int, node: str = "mx1", size: int = 1) -> Event:
    return Event(float(number), number, node, "<m@x>", events.Removed("q" * size))


def a_board() -> Board:
    def attach() -> None:
        raise NotUp("no lab is up")

    return Board("lab", attach)  # type: ignore[arg-type]


def parts(chunk: bytes) -> list[tuple[str, dict[str, object]]]:
    """The events of a piece of a stream: kind and data."""
    found = []
    for one in chunk.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in one.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


async def test_ten_viewers_that_stopped_reading_hold_nothing_and_are_told_of_the_gap() -> None:
    board = a_board()
    board.feed.begin("run", ("mx1",))
    late: list[AsyncIterator[bytes]] = [_stream(board, board.feed.last) for _ in range(VIEWERS)]
    for one in late:
        assert parts(await anext(one))[0][0] == "state"
    before = len(board.feed._ring)
    for number in range(KEPT + 500):
        board.feed.add(told(number))
    assert len(board.feed._ring) == KEPT > before  # the same for none and for ten
    for one in late:
        ((kind, data),) = parts(await anext(one))
        assert (kind, data) == ("gap", {"missed": 500})
        batch = parts(await anext(one))
        assert len(batch) == AT_A_TIME
        assert batch[0][1]["seq"] == 500
    for one in late:
        await one.aclose()  # type: ignore[attr-defined]


async def test_who_reads_is_told_everything_however_slow_another_is() -> None:
    board = a_board()
    board.feed.begin("run", ("mx1",))
    slow, quick = (_stream(board, board.feed.last) for _ in range(2))
    await anext(slow)
    await anext(quick)
    seen: list[object] = []
    for number in range(0, 3 * KEPT, AT_A_TIME):
        for one in range(number, number + AT_A_TIME):
            board.feed.add(told(one))
        seen += [data["seq"] for _, data in parts(await anext(quick))]
    assert seen == list(range(3 * KEPT))
    ((kind, data),) = parts(await anext(slow))
    assert (kind, data) == ("gap", {"missed": 2 * KEPT})


async def test_viewers_that_vanish_leave_no_waiter_behind() -> None:
    board = a_board()
    board.feed.begin("run", ("mx1",))
    waiting = []
    for _ in range(VIEWERS):
        stream = _stream(board, board.feed.last)
        await anext(stream)
        waiting.append(asyncio.ensure_future(anext(stream)))
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    last = _stream(board, board.feed.last)
    await anext(last)
    board.feed.add(told(7))
    async with asyncio.timeout(10):
        assert parts(await anext(last))[0][1]["seq"] == 7


def test_large_events_are_bounded_by_their_bytes() -> None:
    feed = Feed()
    feed.begin("run", ("mx1",))
    size = KEPT_BYTES // 8
    for number in range(40):
        feed.add(told(number, size=size))
    held = feed.after(0, 1000)
    assert sum(len(item.data) for item in held.told) <= KEPT_BYTES
    assert held.missed + len(held.told) == feed.last
    assert held.told[-1].number == feed.last
    feed.add(told(41, size=2 * KEPT_BYTES))  # larger than all that is kept: told all the same
    assert [item.number for item in feed.after(0, 10).told] == [feed.last]


def test_the_last_of_each_node_are_kept_and_no_more() -> None:
    feed = Feed()
    feed.begin("run", ("mx1", "mx2"))
    for number in range(2 * RECENT):
        feed.add(told(number))
    feed.add(told(0, "mx2"))
    assert [one.at for one in feed.recent(3, "mx1")] == [1997.0, 1998.0, 1999.0]
    assert len(feed.recent(10_000, "mx1")) == RECENT
    assert [one.node for one in feed.recent(2)] == ["mx1", "mx2"]
    feed.add(Event(9.0, 0, "mx1", None, events.NodeErased()))
    assert [one.kind for one in feed.recent(10, "mx1")] == ["node.erased"]
    assert len(feed.recent(10, "mx2")) == 1


@pytest.mark.parametrize("back", [False, True])
def test_what_is_skipped_is_counted_and_told_to_nobody(back: bool) -> None:
    feed = Feed()
    feed.begin("run", ("mx1",))
    one = Event(1.0, 0, "mx1", "<m@x>", events.AttemptStarted("q", "d", ["r"], 1))
    feed.add(one)
    last = feed.last
    if back:
        feed.set_back(("mx1",), [one] * 3)
    else:
        feed.skip([one] * 3)
    assert feed.last == last
    assert feed.figures.totals["attempts"] == (3 if back else 4)
    assert [view.number for view in feed.recent(3)] == [0, 0, 0]


def test_a_nodes_log_asks_the_node_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(api: Asking) -> None:
        await api.send("POST", "/send", {"to": ["bob@example.test"], "batch": "b"})
        assert (await api.send("POST", "/wait", {"condition": {"delivered": "b"}}))["holds"]

        def never(self: object, *, follow: bool = True) -> None:
            raise AssertionError("the whole stream was asked for")

        monkeypatch.setattr(type(api.lab.nodes["mx1"]), "events", never)
        lines = (await api.get("/nodes/mx1/log", lines=3))["lines"]
        assert len(lines) == 3
        assert any("mailbox of bob@example.test" in line for line in lines)
        last = await api.get("/events/last", node="mx1", count=3)
        assert [one["node"] for one in last] == ["mx1"] * 3
        assert lines[-1].endswith(last[-1]["text"])
        assert (await api.status("GET", "/events/last?node=mx9"))[0] == 404
        (box,) = await api.get("/mailboxes")
        assert box == {"node": "mx1", "mailbox": "bob@example.test", "messages": 1}

    on_board(story)


def test_of_a_node_whose_events_broke_off_the_log_is_read() -> None:
    async def story(api: Asking) -> None:
        api.board.feed.broke("mx1", "a torn line")
        api.board.feed._recent.clear()
        lines = (await api.get("/nodes/mx1/log"))["lines"]
        assert any("ready" in line for line in lines), lines

    on_board(story)
