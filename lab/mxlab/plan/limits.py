"""The patience and the limits that a topology gives to each MTA, and what is wrong with them. Pure.

Whatever is not said is as in the set of timeouts that is named, or as in the services' defaults.
"""

from collections.abc import Iterator

import msgspec

from mxlab.errors import nearest
from mxlab.model.duration import parse_duration
from mxlab.model.patience import Bounds, Patience
from mxlab.model.scenario import Problem
from mxlab.model.topology import Topology
from mxlab_services.config import PATIENCE, Limits, Timeouts


def timeouts_of(topology: Topology, host: str) -> Timeouts:
    """The timeouts of a host, in real seconds. Raises KeyError for a set that there is not."""
    found = _timeouts(topology.timeouts, PATIENCE["workshop"])
    own = {e.host: e.timeouts for e in topology.exchanges}
    own |= {client.host: client.timeouts for client in topology.clients}
    own[topology.client] = topology.client_timeouts
    return found if (given := own.get(host)) is None else _timeouts(given, found)


def limits_of(topology: Topology, host: str) -> Limits:
    """The limits of a host."""
    own = {e.host: e.limits for e in topology.exchanges}
    own |= {client.host: client.limits for client in topology.clients}
    own[topology.client] = topology.client_limits
    return _limits(own.get(host), _limits(topology.limits, Limits()))


def patience_problems(topology: Topology) -> Iterator[Problem]:
    """Sets of timeouts that there are not; durations that cannot be waited for."""
    yield from _problems(("timeouts",), topology.timeouts)
    places = [((), topology.mx), *((("domains", n), d.mx) for n, d in enumerate(topology.domains))]
    for place, exchanges in places:
        for number, exchange in enumerate(exchanges):
            yield from _problems((*place, "mx", number, "timeouts"), exchange.timeouts)
    yield from _problems(("client_timeouts",), topology.client_timeouts)
    for number, client in enumerate(topology.clients):
        yield from _problems(("clients", number, "timeouts"), client.timeouts)


def _timeouts(given: Patience | str, lab: Timeouts) -> Timeouts:
    if isinstance(given, str):
        return PATIENCE[given]
    base = lab if given.base is None else PATIENCE[given.base]
    return msgspec.structs.replace(
        base, **{key: parse_duration(text) for key, text in _durations(given)}
    )


def _limits(given: Bounds | None, lab: Limits) -> Limits:
    return lab if given is None else msgspec.structs.replace(lab, **_given(given))


def _durations(patience: Patience) -> list[tuple[str, str]]:
    return [(key, text) for key, text in _given(patience).items() if key != "base"]


def _given(value: Patience | Bounds) -> dict[str, str]:
    return {key: content for key, content in msgspec.structs.asdict(value).items() if content}


def _problems(place: tuple[str | int, ...], given: Patience | str | None) -> Iterator[Problem]:
    if given is None:
        return
    named, key = (given, place) if isinstance(given, str) else (given.base, (*place, "base"))
    if named is not None and named not in PATIENCE:
        near = nearest(named, PATIENCE)
        hint = (f"did you mean {near!r}? " if near else "") + f"known: {', '.join(PATIENCE)}"
        yield Problem(key, f"no set of timeouts is called {named[:40]!r}", hint=hint)
    for name, text in [] if isinstance(given, str) else _durations(given):
        try:
            if parse_duration(text) <= 0:
                yield Problem((*place, name), "no time at all: nothing could be waited for")
        except ValueError as error:
            yield Problem((*place, name), str(error))
