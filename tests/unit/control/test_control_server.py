"""The control socket takes bytes as they come: in pieces, several requests at once, torn."""

import asyncio
import itertools
import tempfile
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mxlab_services.control.requests import Ping, Stats
from mxlab_services.control.rpc import Controls, encode_call
from mxlab_services.control.server import serve

REQUESTS = [encode_call(0, Stats()), b"no JSON\n", encode_call(2, Ping()), encode_call(3, Stats())]


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """`data`, cut at these places."""
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


async def told(sent: list[bytes]) -> list[dict[str, Any]]:
    """Hand the pieces to a node that answers `stats` once all are sent, and nothing else; end the
    sending side; read to the end."""
    all_sent = asyncio.Event()
    controls = Controls()

    async def stats(request: Stats) -> dict[str, int]:
        await all_sent.wait()
        return {"asked": 1}

    controls.add(Stats, stats)
    with tempfile.TemporaryDirectory() as folder:
        server = await serve(controls, f"{folder}/control.sock")
        async with server:
            reader, writer = await asyncio.open_unix_connection(f"{folder}/control.sock")
            for piece in sent:
                writer.write(piece)
                await asyncio.sleep(0)  # the server may read what came so far
            writer.write_eof()
            all_sent.set()
            replies = [msgspec.json.decode(line) async for line in reader]
            writer.close()
            await writer.wait_closed()
    return replies


@settings(deadline=None)  # a socket is quick, but for a machine that is busy
@given(st.lists(st.integers(0, 1000), max_size=20))
def test_however_they_are_cut_each_request_has_its_reply(cuts: list[int]) -> None:
    replies = asyncio.run(told(pieces(b"".join(REQUESTS), cuts)))
    assert len(replies) == len(REQUESTS)
    by_id = {reply["id"]: reply for reply in replies}
    assert by_id[0]["result"] == by_id[3]["result"] == {"asked": 1}
    assert by_id[None]["error"]["code"] == -32700
    assert "does not answer 'ping'" in by_id[2]["error"]["message"]


async def test_a_request_that_is_torn_is_refused_and_those_before_it_are_not() -> None:
    replies = await told([REQUESTS[0], REQUESTS[3][:20]])
    assert sorted(("error" in reply) for reply in replies) == [False, True]
