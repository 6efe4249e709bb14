"""What an administrator does by hand: `mxlab flush mx2`."""

from mxlab.backends.base import Lab
from mxlab_services.control import QueueFlush


async def flush(lab: Lab) -> None:
    """Start the queue of mx2."""
    await lab.nodes["mx2"].request(QueueFlush())
