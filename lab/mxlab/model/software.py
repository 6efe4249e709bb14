"""Whose mail server a node runs: ours, or a product of Debian's. Pure.

`SOFTWARE` has what the lab has to know of each: above all what it does not tell of itself, so that
no check passes on the strength of something that it could not have seen.
"""

from collections.abc import Mapping
from typing import get_args

import msgspec

from mxlab_services.config import Software
from mxlab_services.faults.kinds import NO_PRODUCTS

OURS: Software = "mxlab"

# A kind of events, or one field of it -> what is not told, in words. A product tells by its log.
_UNTOLD = {
    "lookup": "what it asks the DNS",
    "route": "among which hosts it chooses, and which it discards",
    "attempt.started.at": "when an attempt begins, before that has ended",
    "relay.tried.preference": "the preference of a host that it tries",
    "relay.tried.dialog": "its conversations with other hosts, but for their last reply",
    "queue.deferred.next_attempt": "when it will try again",
    "destination.dead": "which destinations it leaves alone",
    "destination.alive": "which destinations it tries again",
    "bounce.suppressed": "a failure of which it tells nobody",
    "spool.damaged": "damage to its queue",
}


# Faults inside a node, and steps, that a product cannot have -> why.
_UNABLE = {kind.kind: why for kind, why in NO_PRODUCTS.items()}


class SoftwareEntry(msgspec.Struct, frozen=True):
    """One mail server. `title` is what it is called; `untold`: what it does not tell; `unable`: the
    kinds of faults, and the steps, that it cannot have."""

    title: str
    untold: Mapping[str, str] = {}
    unable: Mapping[str, str] = {}

    def tells(self, what: str) -> bool:
        """Whether it tells of events of that kind, or, with a dot and its name behind, a field."""
        return what not in self.untold


SOFTWARE: Mapping[Software, SoftwareEntry] = {
    "mxlab": SoftwareEntry("mxlab"),
    "postfix": SoftwareEntry("Postfix", _UNTOLD, _UNABLE),
    "exim": SoftwareEntry("Exim", _UNTOLD, _UNABLE),
    "opensmtpd": SoftwareEntry(
        "OpenSMTPD",
        _UNTOLD,
        {
            **_UNABLE,
            "etrn": "it does not know the command",
            "config": "it reads its configuration once, when it starts",
        },
    ),
}
assert set(SOFTWARE) == set(get_args(Software))


def products_in(software: Mapping[str, Software]) -> tuple[Software, ...]:
    """Those of others that these hosts run, each once."""
    return tuple(dict.fromkeys(one for one in software.values() if one != OURS))
