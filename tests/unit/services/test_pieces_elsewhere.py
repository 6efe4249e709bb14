"""No reader takes a read for a unit: TLS, ETRN, DNS over TCP and the engine's frames in pieces."""

import random
from typing import Any

import pytest

from mxlab.api.run import run
from mxlab.backends.docker.channel import HEADER, _frames
from mxlab.model.finding import Verdict, overall
from mxlab.scenario.load import loads
from mxlab_services import events

STORY = """
mxlab: 1
title: all that is sent over TCP comes in pieces
topology: {tls: true}
steps:
  - fault: {id: a, segments: {host: client, most: MOST}}
  - fault: {id: b, segments: {host: mx1, most: MOST}}
  - fault: {id: c, segments: {host: mx2, most: MOST}}
  - fault: {id: d, dns-truncate: {name: example.test}}
  - fault: {id: down, kill: mx1}
  - send: {id: mail, from: alice@client.test, size: 3000,
           to: [bob@example.test, nobody@example.test]}
  - eventually: {within: 1h, queue: {host: mx2, holds: mail}}
  - heal: down
  - etrn: {host: mx1, asks: mx2}
  - eventually: {within: 2m, delivered: mail}
expect: [nothing-lost, nothing-altered, duplicates-explained, silence-explained, queues-empty]
"""


@pytest.mark.parametrize("most", [1, 3, 40])
def test_a_whole_lab_with_tls_etrn_and_dns_over_tcp_in_pieces(most: int) -> None:
    result = run(loads(STORY.replace("MOST", str(most)), "x.yaml", "x"), "sim")
    assert overall(result.findings) is Verdict.PASS, result.findings
    bodies = [event.body for event in result.trace.events()]
    dialogs = [b.dialog for b in bodies if isinstance(b, events.Tried) and b.stage == "done"]
    assert dialogs
    assert all(any("certificate verified" in line for line in dialog) for dialog in dialogs[:1])
    assert any(isinstance(b, events.DnsQuery) and b.transport == "tcp" for b in bodies)
    assert any(isinstance(b, events.EtrnSent) and b.reply.startswith("25") for b in bodies)


class Socket:
    """A socket that gives the engine's frames in pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)

    def recv(self, most: int) -> bytes:
        return next(self._pieces, b"")


@pytest.mark.parametrize("seed", range(20))
def test_the_engines_frames_may_be_cut_and_joined_anywhere(seed: int) -> None:
    rng = random.Random(seed)
    frames = [(1, b"one\n"), (2, b""), (1, b"x" * 5000), (2, b"end")]
    stream = b"".join(HEADER.pack(kind, len(data)) + data for kind, data in frames)
    pieces, start = [], 0
    while start < len(stream):
        end = start + rng.choice((1, 2, 7, 8, 9, 4000))
        pieces.append(stream[start:end])
        start = end
    given: Any = Socket(pieces)
    assert list(_frames(given)) == frames
