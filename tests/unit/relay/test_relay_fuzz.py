"""Whatever a peer says, the relay answers every recipient with a value, and tells all of it."""

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from mxlab_services import events
from mxlab_services.queue.ports import Deferred, Delivered, Failed, Result
from tests.support.relay_lab import Notebook
from tests.support.sim_relay import SimRelay

RECIPIENTS = ("bob@example.test", "carol@example.test", "dave@example.test")

_LINE = st.builds(
    lambda code, dash, text: f"{code}{dash}{text}\r\n".encode(),
    st.sampled_from([220, 221, 250, 251, 354, 421, 450, 451, 452, 503, 550, 552, 554, 0, 999]),
    st.sampled_from([" ", " ", " ", "-", ""]),
    st.sampled_from(["ok", "PIPELINING", "2.1.0 ok", "4.5.3 x", "5.1.1 x", "SIZE 9", "SIZE x", ""]),
)
_ACTION = st.one_of(
    st.lists(_LINE, min_size=1, max_size=4).map(b"".join), st.binary(max_size=20), st.none()
)
# The n-th thing that the server says (0: the greeting) becomes these bytes, or it hangs up.
Script = dict[int, bytes | None]
_SCRIPT = st.dictionaries(st.integers(0, 14), _ACTION, max_size=4)


class Parrot(asyncio.Protocol):
    """A server that behaves, except where its script has something else to say."""

    def __init__(self, script: Script, counter: Iterator[int]) -> None:
        self._script = script
        self._counter = counter
        self._buffer = b""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._say(b"220 parrot\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            line, found, self._buffer = self._buffer.partition(end)
            if not found:
                self._buffer = line
                return
            if self._in_data or line[:4] not in (b"EHLO", b"DATA"):
                self._in_data = False
                self._say(b"250 2.0.0 queued as 4X\r\n")
            elif line[:4] == b"EHLO":
                self._say(b"250-parrot\r\n250 PIPELINING\r\n")
            else:
                self._in_data = self._say(b"354 go on\r\n").startswith(b"354")

    def _say(self, proper: bytes) -> bytes:
        said = self._script.get(next(self._counter), proper)
        if said is None:
            self._transport.close()
            return b""
        self._transport.write(said)
        return said


class Parrots:
    """A host with this script for all its connections together."""

    def __init__(self, script: Script) -> None:
        self._make = partial(Parrot, script, count())

    async def start(self, address: str, port: int = 0) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._make, address, port)

    async def stop(self) -> None:
        self._server.close()


@settings(max_examples=150)
@given(st.lists(_SCRIPT, min_size=2, max_size=2))
def test_any_conversation_ends_in_a_result_for_every_recipient(
    scripts: list[Script],
) -> None:
    problems: list[object] = []
    notebook = Notebook()
    world = SimRelay(*map(Parrots, scripts), witness=notebook)
    world.loop.set_exception_handler(lambda _, context: problems.append(context))

    async def story() -> list[Result]:
        await world.send(*RECIPIENTS)
        return await world.send(*RECIPIENTS)  # may find a kept connection

    results = world.run(story)
    assert problems == []
    told = world.events
    for address, result in zip(RECIPIENTS, results, strict=True):
        last = [e for e in told if isinstance(e, events.Outcome) and e.recipient == address][-1]
        match result:
            case Delivered():
                assert last.outcome == "delivered"
            case Failed():
                assert last.outcome == "failed"
            case Deferred(unknown=unknown):
                assert last.outcome == ("unknown" if unknown else "deferred")
    lines = [events.encode(events.Event(0.0, 0, "client", None, body)) for body in told]
    assert [events.decode(line).body for line in lines] == told
    open_ones: dict[tuple[str, str], int] = {}
    for kind, _, host, *who in notebook.pages:
        for address in who if kind == "invoked" else who[:1]:
            key = (address, host)
            open_ones[key] = open_ones.get(key, 0) + (1 if kind == "invoked" else -1)
            assert open_ones[key] in (0, 1)
    assert not any(open_ones.values())
