"""A node that is not up, told in the same words in every backend."""

from mxlab.backends.base import State
from mxlab.errors import NodeUnreachable


def not_running(node: str, state: State) -> NodeUnreachable:
    """What to raise where a node would have to run, and is paused or stopped."""
    verb = "resume" if state == "paused" else "start"
    return NodeUnreachable(f"{node} is {state}", f"`mxlab {verb} {node}`")
