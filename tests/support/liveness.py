"""What every backend's nodes have in common when they are paused or stopped."""

import pytest

from mxlab.backends.base import CanPause, Node
from mxlab.errors import NodeUnreachable
from mxlab_services.control.requests import Ping


async def refuses_when_it_does_not_run(node: Node) -> None:
    """Each thing that it cannot do then is refused in the same sentence, with nothing behind it."""
    assert isinstance(node, CanPause)
    name = node.config.node
    await node.kill()
    for what in (node.pause, node.resume, lambda: node.request(Ping())):
        await refused(what, f"{name} is stopped", f"`mxlab start {name}`")
    await node.start()
    await node.pause()
    for what in (node.start, lambda: node.request(Ping())):
        await refused(what, f"{name} is paused", f"`mxlab resume {name}`")
    await node.resume()


async def refused(what: object, sentence: str, hint: str) -> None:
    assert callable(what)
    with pytest.raises(NodeUnreachable) as problem:
        await what()
    assert (str(problem.value), problem.value.hint) == (sentence, hint)
    assert problem.value.__cause__ is None
    assert problem.value.__context__ is None or problem.value.__suppress_context__


async def keeps_what_is_so_already(node: Node) -> None:
    """To ask for what is so already is no mistake, and changes nothing."""
    assert isinstance(node, CanPause)
    await node.start()
    await node.resume()
    assert await node.state() == "running"
    await node.pause()
    await node.pause()
    assert await node.state() == "paused"
    for end in (node.kill, node.stop, node.kill):
        await end()
        assert await node.state() == "stopped"
    await node.start()
    assert (await node.request(Ping())).node == node.config.node
