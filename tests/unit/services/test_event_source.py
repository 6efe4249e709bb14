"""From what a node knows what it tells: on the wire only where it is not the node's own doing."""

import json

from mxlab_services.clock import ScaledClock
from mxlab_services.events import Emitter, Event, Flushed, Removed, decode, encode
from mxlab_services.runtime import Counting


def test_an_event_of_the_nodes_own_has_no_source_on_the_wire() -> None:
    line = encode(Event(1.0, 2, "mx1", None, Flushed("all", 3)))
    assert line == (
        b'{"at":1.0,"seq":2,"node":"mx1","kind":"queue.flushed","message":null,'
        b'"data":{"scope":"all","messages":3}}\n'
    )
    assert decode(line).source == ""


def test_a_source_is_told_and_read() -> None:
    told: list[Event] = []
    emit = Counting(Emitter("mx1", ScaledClock(), told.append))
    emit(Removed("Q1"), "<a@b>", source="log")
    line = encode(told[0])
    assert json.loads(line)["source"] == "log"
    assert decode(line) == told[0]
    assert emit.counts == {"queue.removed": 1}
