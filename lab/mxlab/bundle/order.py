"""What became of a recording's lines: told from their number, their sum, and the order in which a
recording has events. Pure."""

from collections.abc import Sequence

from mxlab.bundle.parts import BundlePart, Difference, digest_of, line_table
from mxlab.history.trace import Trace
from mxlab_services.events import Event, decode


def lines_changed(part: BundlePart, data: bytes) -> Difference:
    """How a recording of another digest differs from the one that was packed."""
    found, table = line_table(data), part.lines
    told = f" ({where})" if (where := out_of_order(data)) else ""
    digests = part.sha256, digest_of(data)
    if table is None or (found.count == table.count and found.sum != table.sum):
        return Difference(part.name, "changed", f"a line of it was changed{told}", *digests)
    if found.count == table.count:
        text = f"its lines stand in another order{told}"
        return Difference(part.name, "reordered", text, *digests)
    if found.count > table.count:
        text = f"it has {found.count} lines; {table.count} were written{told}"
        return Difference(part.name, "added", text, *digests)
    text = f"it has {found.count} of the {table.count} lines that were written{told}"
    return Difference(part.name, "truncated", text, *digests)


def out_of_order(data: bytes) -> str:
    """Where the events of a recording do not stand as they happened; or nothing."""
    placed = list(_events(data))
    last: dict[str, int] = {}
    for line, event in placed:
        before = last.get(event.node)
        if before is not None and event.seq not in (0, before + 1):
            return f"line {line}: event {event.seq} of {event.node} follows its event {before}"
        last[event.node] = event.seq
    trace = Trace()
    for _, event in placed:
        trace.add(event)
    return _first_unlike(placed, trace.events())


def _first_unlike(placed: Sequence[tuple[int, Event]], sorted_events: Sequence[Event]) -> str:
    if len(placed) != len(sorted_events):
        return ""  # a node was erased: what it told before is not in the trace
    for (line, event), wanted in zip(placed, sorted_events, strict=True):
        if event is not wanted:
            return f"line {line}: event {event.seq} of {event.node} stands too early or too late"
    return ""


def _events(data: bytes) -> list[tuple[int, Event]]:
    """The events, each with the number of its line; what is none is passed over."""
    found = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            found.append((number, decode(line)))
        except ValueError:
            continue
    return found
