"""Conditions on what was seen that can never come true, or are true at once. Pure.

Only what is certain: a host never tries itself, a code is never given at a verb, an address is
nobody's here, a type of records is none.
"""

from collections.abc import Iterator

from mxlab.model.condition import AnyCondition, Attempted, Notified, Observed, Queried, Replied
from mxlab.model.reference import Place
from mxlab.model.scenario import Problem
from mxlab.model.topology import Topology
from mxlab_services.address import canonical, domain_of
from mxlab_services.dns.rtypes import known_types, type_number
from mxlab_services.domain import fold_domain

_GOES_ON = ("DATA", "AUTH")  # verbs whose reply may ask for more (3yz)


def at_once(condition: AnyCondition, place: Place) -> Iterator[Problem]:
    """Why there is nothing to wait for, or to forbid, in a condition of a step."""
    if isinstance(condition, Observed) and condition.count == 0:
        text = "it holds before anything is seen; that there was none stands in `expect`"
        yield Problem((*place, "count"), text)


def impossible(condition: AnyCondition, topology: Topology, place: Place) -> Iterator[Problem]:
    """Why the condition, which stands at `place`, can never come true."""
    match condition:
        case Replied(host=host, by=by) if host == by and _hands_in(host, topology):
            pass
        case Replied(host=host, by=by) | Attempted(host=host, by=by) if host == by:
            yield Problem((*place, "by"), f"{host} never tries itself")
        case Replied(verb=str(verb), code=code) if verb not in _GOES_ON and str(code)[0] == "3":
            text = f"{verb} never gets {code}: 3yz asks for more (RFC 5321 §4.2.1)"
            yield Problem((*place, "code"), text)
        case Replied(verb="STARTTLS", by=str(by)) if not topology.tls:
            yield Problem((*place, "verb"), f"{by} never says STARTTLS without `tls: true`")
        case Replied(verb="AUTH", host=host) if not _hands_in(host, topology):
            text = f"{host} has no AUTH: it is the client's, where the topology has `submission`"
            yield Problem((*place, "verb"), text)
        case Notified(address=address):
            yield from _nobody(address, topology, (*place, "address"))
        case Queried(type=str(kind)) if type_number(kind) is None:
            text = "there is no such type of records"
            yield Problem((*place, "type"), text, kind, known_types())
        case _:
            pass


def _hands_in(host: str, topology: Topology) -> bool:
    """Whether programs hand in mail there."""
    return topology.submission is not None and host == topology.client


def _nobody(address: str, topology: Topology, place: Place) -> Iterator[Problem]:
    """Why no mailbox of the lab is that address's."""
    if "@[" in address:
        return  # a node's own address: a backend's choice
    domain = domain_of(address)
    known = {fold_domain(one.domain): one.recipients for one in topology.mail_domains}
    known |= {fold_domain(own): None for own in topology.sender_domains.values()}
    if domain not in known:
        text = "no host of the lab has mailboxes for that domain"
        yield Problem(place, text, domain, tuple(known))
    elif (there := known[domain]) is not None:
        names = tuple(map(canonical, there))
        if canonical(address) not in names:
            yield Problem(place, "there is no such recipient", address, names)
