"""A channel to a node's control interface takes replies as they come, by socket and by exec."""

import asyncio
import gc
import itertools
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxlab.backends.docker.channel import ExecChannel
from mxlab.backends.process.channel import SocketChannel
from mxlab.backends.real.rpc import Calls, Channel
from mxlab.errors import NodeUnreachable, Refused
from mxlab_services.control.requests import Stats
from mxlab_services.control.rpc import MAX_LINE, refusal
from mxlab_services.errors import ControlError

Open = Callable[[socket.socket], Awaitable[Channel]]
CUTS = st.lists(st.integers(0, 1000), max_size=20)


async def by_socket(ours: socket.socket) -> Channel:
    return SocketChannel("mx1", *await asyncio.open_unix_connection(sock=ours, limit=MAX_LINE))


async def by_exec(ours: socket.socket) -> Channel:
    return ExecChannel("mx1", ours)


def as_it_is(data: bytes) -> bytes:
    return data


def framed(data: bytes) -> bytes:
    """As an engine frames it: standard output; between, a complaint on standard error."""
    half = len(data) // 2
    parts = ((1, data[:half]), (2, b"a warning\n"), (1, data[half:]))
    return b"".join(struct.pack(">BxxxL", stream, len(part)) + part for stream, part in parts)


BOTH = pytest.mark.parametrize(("open_channel", "wrap"), [(by_socket, as_it_is), (by_exec, framed)])


def reply(number: int) -> bytes:
    return b'{"id":%d,"result":{"n":%d}}\n' % (number, number)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


async def asked(open_channel: Open, answers: bytes, cuts: Sequence[int]) -> list[object]:
    """Four requests, one of them given up, then these bytes in pieces and the end: what each of the
    others came to."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = await open_channel(ours)
        futures = [await channel.send(Stats()) for _ in range(4)]
        futures[1].cancel()
        for piece in pieces(answers, cuts):
            theirs.sendall(piece)
            await asyncio.sleep(0)  # the channel may read what came so far
        theirs.shutdown(socket.SHUT_WR)
        found = await asyncio.gather(*futures, return_exceptions=True)
        await channel.close()
    return [one for number, one in enumerate(found) if number != 1]


@BOTH
@given(cuts=CUTS)
def test_however_they_are_cut_replies_find_their_requests(
    open_channel: Open, wrap: Callable[[bytes], bytes], cuts: list[int]
) -> None:
    answers = reply(3) + b"no JSON\n" + reply(1) + reply(0) + refusal(2, -32000, "not now")
    first, third, fourth = asyncio.run(asked(open_channel, wrap(answers), cuts))
    assert (first, fourth) == ({"n": 0}, {"n": 3})
    assert isinstance(third, Refused)
    assert str(third) == "mx1: not now"


@BOTH
async def test_what_is_torn_is_no_reply(open_channel: Open, wrap: Callable[[bytes], bytes]) -> None:
    found = await asked(open_channel, wrap(reply(0) + reply(2)[:-9]), [])
    assert found[0] == {"n": 0}
    assert all(isinstance(one, NodeUnreachable) for one in found[1:])


async def test_a_request_that_is_given_up_as_its_reply_comes_harms_no_other() -> None:
    calls = Calls("mx1")
    (_, given_up), (_, other) = calls.begin(Stats()), calls.begin(Stats())
    given_up.cancel()
    with pytest.raises(ControlError, match="no request"):
        calls.answer(reply(0))
    calls.answer(reply(1))
    assert await other == {"n": 1}


async def test_a_request_whose_asker_was_cancelled_fails_unheard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else asyncio complains of an error that nobody fetched, on standard error."""
    calls = Calls("mx1")
    calls.begin(Stats())
    calls.fail("its channel closed")
    await asyncio.sleep(0)  # the loop lets go of the future
    gc.collect()
    assert caplog.records == []
