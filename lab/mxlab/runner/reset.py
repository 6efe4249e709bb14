"""A lab that is up, brought back to its first state: no mail, no faults, as configured.

Guarantee: no mail of before reaches a host that has been emptied: none serves again until all are
empty.
"""

import asyncio
from collections.abc import Awaitable, Iterable

from mxlab.backends.base import Lab, Node
from mxlab.errors import LabError, NodeUnreachable, first_of_group
from mxlab.faults.open import heal, open_faults
from mxlab_services.control.requests import Begin, Erase

_IN_A_NODE = 2  # times that faults are looked for: what is inside a node shows once it runs


async def reset(lab: Lab) -> None:
    """Undo every fault, start what is down, and empty every node. Raises LabError."""
    for _ in range(_IN_A_NODE):
        for broken in await open_faults(lab):
            await heal(lab, broken)
    nodes = lab.nodes.values()
    await _all(node.request(Erase()) for node in nodes)
    await _all(_begin(node) for node in nodes)


async def _begin(node: Node) -> bool:
    try:
        return await node.request(Begin())
    except NodeUnreachable:  # the connection to what it was before
        return await node.request(Begin())


async def _all(requests: Iterable[Awaitable[bool]]) -> None:
    async def done(request: Awaitable[bool]) -> None:
        await request

    with first_of_group(LabError):
        async with asyncio.TaskGroup() as group:
            for request in requests:
                group.create_task(done(request))
