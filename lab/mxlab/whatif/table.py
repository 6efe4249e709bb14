"""What rehearsals came to, as rows that people read: a table for each schedule. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mxlab.model.duration import format_duration
from mxlab.whatif.rehearsal import Consequence

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class FateTable:
    """`rows`: what fails, where mail waits, and what becomes of it for each length. `harmless`:
    outages in which no mail has to wait at all."""

    schedule: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    harmless: tuple[str, ...]


def table_of(fates: Sequence[Consequence]) -> FateTable:
    """The table of the rehearsals of one schedule."""
    durations = tuple(dict.fromkeys(fate.lasts for fate in fates))
    rows, harmless = [], []
    for name in dict.fromkeys(fate.outage for fate in fates):
        own = {fate.lasts: fate for fate in fates if fate.outage == name}
        if all(not fate.waited and fate.delivered == fate.sent for fate in own.values()):
            harmless.append(name)
            continue
        where = dict.fromkeys(host for fate in own.values() for host in fate.waited)
        rows.append((name, ", ".join(where) or "nowhere", *(became(own[d]) for d in durations)))
    headings = ("fails", "mail waits at", *(f"for {format_duration(d)}" for d in durations))
    return FateTable(fates[0].schedule if fates else "", headings, tuple(rows), tuple(harmless))


def became(fate: Consequence) -> str:
    """What became of the mail of one rehearsal: `6 of 8 delivered; 2 returned, after 5d`."""
    parts = []
    if fate.delivered < fate.sent:
        parts.append(f"{fate.delivered} of {fate.sent} delivered")
    else:
        parts.append("all delivered")
    if fate.last_after is not None:
        parts[-1] += f", the last {_rough(fate.last_after)} after"
    if fate.bounced:
        parts.append(f"{fate.bounced} returned, after {_rough(fate.told_after or 0.0)}")
    if fate.warned:
        parts.append(f"senders told of a delay: {fate.warned}")
    if fate.copies:
        parts.append(f"{fate.copies} twice")
    return "; ".join((*parts, *fate.broken))


def _rough(seconds: float) -> str:
    """To the second below a minute, to the minute below a day, to the hour beyond."""
    for below, grain in ((60.0, 1.0), (24 * HOUR, 60.0)):
        if seconds < below:
            return format_duration(max(1.0, round(seconds / grain)) * grain)
    return format_duration(round(seconds / HOUR) * HOUR)


def broken(fates: Iterable[Consequence]) -> list[str]:
    """Promises that did not hold, each with its outage."""
    return [
        f"{fate.outage}, {format_duration(fate.lasts)}, {fate.schedule}: {text}"
        for fate in fates
        for text in fate.broken
    ]
