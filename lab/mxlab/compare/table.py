"""Measures as a table that people read: a row for each measure, a column for each variant. Pure."""

from collections.abc import Sequence

from mxlab.compare.measures import Measures
from mxlab.model.duration import format_duration

_SHOWN = 8  # waits that are shown


def rows(found: Sequence[Measures]) -> tuple[list[str], list[list[str]]]:
    """The headings and the rows."""
    hosts = list(dict.fromkeys(host for one in found for host in one.attempts))
    table = [
        ["verdict", *(_verdict(one) for one in found)],
        ["messages", *(str(one.messages) for one in found)],
        ["at a backup after", *(_time(one.at_backup) for one in found)],
        ["first delivered, after the return", *(_time(one.first_after) for one in found)],
        ["last delivered, after the return", *(_time(one.last_after) for one in found)],
        *(
            [f"attempts by {host}", *(str(one.attempts.get(host, 0)) for one in found)]
            for host in hosts
        ),
        *(
            [f"waits at {host}, of one message", *(_waits(one, host) for one in found)]
            for host in hosts
            if any(one.waits.get(host) for one in found)
        ),
        ["second copies", *(str(one.copies) for one in found)],
        ["told of failure", *(str(one.failures) for one in found)],
        ["told of delay", *(str(one.delays) for one in found)],
    ]
    return ["", *(one.label for one in found)], table


def _verdict(one: Measures) -> str:
    return one.verdict + (f": {', '.join(one.not_passed)}" if one.not_passed else "")


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return format_duration(round(seconds, 2 if seconds < 60 else 0))


def _waits(one: Measures, host: str) -> str:
    waits = one.waits.get(host, ())
    more = f" and {len(waits) - _SHOWN} more" if len(waits) > _SHOWN else ""
    return " ".join(map(_time, waits[:_SHOWN])) + more or "-"
