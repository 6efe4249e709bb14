"""Whole queues, however long."""

from mxlab.backends.base import Node
from mxlab.backends.real.remains import Source
from mxlab_services.control.replies import QueueEntry
from mxlab_services.control.requests import QueueList

PAGE = 1000  # messages that are asked for at a time


async def entries(node: Node | Source) -> list[QueueEntry]:
    """The whole queue of a node, read in pages."""
    found: list[QueueEntry] = []
    while True:
        page = await node.request(QueueList(found[-1].queue_id if found else "", PAGE))
        found += page
        if len(page) < PAGE:
            return found
