"""Every operation of the API, in the order of the document."""

from typing import Any

from mxlab.board.endpoint import Operation, OperationGroup
from mxlab.board.labs import LAB, NODES
from mxlab.board.lessons import EXERCISES
from mxlab.board.mail import MESSAGES, QUEUES
from mxlab.board.naming import DNS
from mxlab.board.playing import REPLAY
from mxlab.board.terminal_ops import TERMINALS
from mxlab.board.trouble import FAULTS

GROUPS: tuple[OperationGroup, ...] = (
    LAB,
    NODES,
    QUEUES,
    MESSAGES,
    FAULTS,
    DNS,
    EXERCISES,
    TERMINALS,
    REPLAY,
)
OPERATIONS: tuple[Operation[Any, Any], ...] = tuple(op for group in GROUPS for op in group)
