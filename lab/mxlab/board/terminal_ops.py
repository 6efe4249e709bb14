"""Operations on the terminals of a board; what is shown in one comes over a WebSocket."""

from mxlab.board.board import Board
from mxlab.board.endpoint import Nothing, OperationGroup
from mxlab.board.views import TerminalsView
from mxlab.board.wishes import TerminalWish
from mxlab.errors import UnknownName

TERMINALS = OperationGroup(
    "terminal",
    "Shells on the machine of the board, where it has them (`mxlab board --terminal`). One is "
    "opened, or opened again, by a WebSocket at `/api/v1/terminals/{name}/socket`.",
)


@TERMINALS.operation("GET", "/terminals", Nothing, TerminalsView)
async def show_terminals(board: Board, asked: Nothing) -> TerminalsView:
    """Whether there are terminals here, and which are open."""
    terminals = board.terminals
    return TerminalsView(terminals is not None, [] if terminals is None else terminals.names)


@TERMINALS.operation("DELETE", "/terminals", Nothing, TerminalsView)
async def end_terminals(board: Board, asked: Nothing) -> TerminalsView:
    """End all terminals, with all that runs in them."""
    if board.terminals is not None:
        await board.terminals.end_all()
    return await show_terminals(board, asked)


@TERMINALS.operation("DELETE", "/terminals/{name}", TerminalWish, TerminalsView)
async def end_terminal(board: Board, asked: TerminalWish) -> TerminalsView:
    """End a terminal, with all that runs in it."""
    names = [] if board.terminals is None else board.terminals.names
    if board.terminals is None or not await board.terminals.end(asked.name):
        raise UnknownName("terminal", asked.name, names)
    return await show_terminals(board, Nothing())
