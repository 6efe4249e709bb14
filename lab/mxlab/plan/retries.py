"""How long each host of a lab keeps trying: by its own word, the lab's, or its schedule's. Pure.

The plan and the checks read it here, so that a host is judged by the schedule that it was given.
"""

from collections.abc import Iterator

from mxlab.errors import nearest
from mxlab.model.duration import LONGEST, too_long
from mxlab.model.reference import Place
from mxlab.model.scenario import Problem
from mxlab.model.topology import Client, Exchange, RelayHost, RetryHabit, Topology
from mxlab_services.config import RetryConfig
from mxlab_services.queue.retry import SCHEDULES


def retry_config(topology: Topology, host: str) -> RetryConfig:
    """When that host tries again, and when it gives up."""
    told: dict[str, RetryHabit] = {one.host: one for one in topology.exchanges}
    told |= {one.host: one for one in topology.relays}
    told |= {one.host: one for one in topology.clients}
    told[topology.client] = topology.client_retry or RetryHabit()
    own = told.get(host) or RetryHabit()
    return RetryConfig(
        schedule=own.schedule or topology.schedule,
        lifetime=topology.lifetime if own.lifetime is None else own.lifetime,
        warning=topology.warning if own.warning is None else own.warning,
        jitter=topology.jitter if own.jitter is None else own.jitter,
    )


def retry_problems(topology: Topology) -> Iterator[Problem]:
    """Schedules that there are not, lifetimes without end or length: the lab's and each host's."""
    yield from _problems(topology, ())
    first: set[str] = set()
    for place, one in _hosts(topology):
        yield from _problems(one, place)
        told = any(getattr(one, name) is not None for name in RetryHabit.__struct_fields__)
        if one.host in first and told:
            text = f"{one.host} was named before: how long it keeps trying is said there"
            yield Problem(place, text)
        first.add(one.host)
    if topology.client_retry is not None:
        yield from _problems(topology.client_retry, ("client_retry",))


def _hosts(topology: Topology) -> Iterator[tuple[Place, Exchange | RelayHost | Client]]:
    """Wherever an exchange, a relay or a further client is named, in order."""
    yield from ((("mx", n), one) for n, one in enumerate(topology.mx))
    for number, domain in enumerate(topology.domains):
        yield from ((("domains", number, "mx", n), one) for n, one in enumerate(domain.mx))
    yield from ((("relays", n), one) for n, one in enumerate(topology.relays))
    yield from ((("clients", n), one) for n, one in enumerate(topology.clients))


def _problems(given: RetryHabit | Topology, place: Place) -> Iterator[Problem]:
    schedule = given.schedule
    if schedule is not None and schedule not in SCHEDULES:
        near = nearest(schedule, SCHEDULES)
        hint = (f"did you mean {near!r}? " if near else "") + f"known: {', '.join(SCHEDULES)}"
        text = f"no retry schedule is called {schedule!r}"
        yield Problem((*place, "schedule"), text, hint=hint)
    if given.lifetime == 0:
        yield Problem((*place, "lifetime"), "no time: nothing would be tried twice")
    for name, seconds in (("lifetime", given.lifetime), ("warning", given.warning)):
        if seconds is not None and too_long(seconds):
            text = f"{seconds:g} s is no duration from 0 to ten years ({LONGEST / 86400:g}d)"
            yield Problem((*place, name), text)
