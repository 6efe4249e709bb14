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
    queues = {name: count for name, count in watch.trace.queued.items() if count}
    if queues:
        progress(Seen("mail is still queued", queues))
        return False
    return not [node async for node in _mtas(watch) if (await node.request(Ping())).queued]


async def _mtas(watch: Watch) -> AsyncIterator[Node]:
    """The nodes that have a queue, the client first."""
    lab = watch.lab
    yield lab.nodes[lab.topology.client]
    for name, node in lab.nodes.items():
        if name not in (lab.topology.client, lab.topology.dns):
            yield node
