"""After the faults are healed: wait until every queue is empty, hurrying it along."""

from collections.abc import AsyncIterator

from mxlab.backends.base import Node
from mxlab.errors import LabError
from mxlab.runner.progress import Phase, Report, Seen
from mxlab.runner.watch import Watch
from mxlab_services.control.requests import Ping, QueueFlush

LIMIT = 600.0  # lab seconds in all
NUDGE = 20.0  # lab seconds without progress after which queues are flushed again


async def drain(watch: Watch, progress: Report, limit: float = LIMIT) -> bool:
    """Flush all queues and wait until they are empty; False if they are not after `limit` lab
    seconds. A node that cannot be asked ends it: its queue cannot become known."""
    began = watch.lab.clock.time()
    progress(Phase("draining the queues"))
    while (left := began + limit - watch.lab.clock.time()) > 0:
        try:
            async for node in _mtas(watch):
                await node.request(QueueFlush())
            if await watch.until(lambda: _empty(watch, progress), min(NUDGE, left)):
                return True
        except LabError as error:
            progress(Phase(f"draining ends early: {error}"))
            return False
    return False


async def _empty(watch: Watch, progress: Report) -> bool:
    if queues := watch.trace.waiting():
        progress(Seen("mail is still queued", queues))
        return False
    return not [node async for node in _mtas(watch) if (await node.request(Ping())).queued]


async def _mtas(watch: Watch) -> AsyncIterator[Node]:
    """The nodes that have a queue, the clients first."""
    lab, clients = watch.lab, watch.lab.topology.sender_domains
    others = [name for name in lab.nodes if name not in (*clients, *lab.topology.dns_hosts)]
    for name in (*clients, *others):
        yield lab.nodes[name]
