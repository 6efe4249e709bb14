"""A lab of real programs: its plan, its nodes by name, its clock.

Guarantee: lab time is this machine's, from the plan's epoch on and at its scale. A backend adds
what can be done to the lab as a whole.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import ClassVar, Generic, TypeVar

from mxlab.backends.real.node import RealNode
from mxlab.errors import UnknownName
from mxlab.model.topology import Topology
from mxlab.plan.plan import Plan
from mxlab_services.clock import Clock, ScaledClock

N = TypeVar("N", bound=RealNode)


class RealLab(Generic[N]):
    """A lab that is up, or comes up. `nodes` in the plan's order."""

    backend: ClassVar[str]

    def __init__(self, plan: Plan, nodes: Mapping[str, N]) -> None:
        self._plan = plan
        self._nodes = nodes
        time = plan.nodes[0].time
        self._clock = ScaledClock(time.scale, time.epoch)

    @property
    def name(self) -> str:
        return self._plan.lab

    @property
    def run(self) -> str:
        return self._plan.run

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def topology(self) -> Topology:
        return self._plan.topology

    @property
    def plan(self) -> Plan:
        return self._plan

    @property
    def nodes(self) -> Mapping[str, N]:
        return self._nodes

    def logs(self, node: str, *, follow: bool) -> AsyncIterator[str]:
        if node not in self._nodes:
            raise UnknownName("node", node, self._nodes)
        return self._nodes[node].logs(follow=follow)

    async def let_go(self) -> None:
        """Close every control channel."""
        await asyncio.gather(*(node.let_go() for node in self._nodes.values()))
