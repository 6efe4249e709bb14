"""What a fault does to a host: one struct per mechanism, named in a scenario by its `kind`.

Only the parameters stand here; how each is done, undone and confirmed stands in `mxlab.faults`.
"""

from typing import ClassVar

import msgspec

from mxlab.model.topology import Host


class Mechanism(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all mechanisms. `host` is the node that it befalls."""

    kind: ClassVar[str]
    host: Host


class Kill(Mechanism, frozen=True):
    """The node ends at once, as in a power failure, and comes back when healed."""

    kind = "kill"


class Stop(Mechanism, frozen=True):
    """The node stops in good order, and comes back when healed."""

    kind = "stop"


class Pause(Mechanism, frozen=True):
    """The node freezes: connections are accepted, nothing answers."""

    kind = "pause"


MECHANISMS: dict[str, type[Mechanism]] = {kind.kind: kind for kind in (Kill, Stop, Pause)}
