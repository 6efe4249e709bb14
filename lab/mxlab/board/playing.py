"""Operations on a replay: played, paused, faster, slower, from another moment."""

from mxlab.board.endpoint import Nothing, OperationGroup
from mxlab.board.replay import ReplayBoard
from mxlab.board.views import ReplayState, ReplayView
from mxlab.board.wishes import PlayWish, SeekWish
from mxlab.errors import UsageError

REPLAY = OperationGroup(
    "replay", "A run that is over, shown as it happened. Of a lab that is up: refused (409)."
)


@REPLAY.operation("GET", "/replay", Nothing, ReplayView, of=("replay",))
async def show_replay(board: ReplayBoard, asked: Nothing) -> ReplayView:
    """How far the replay is, what is marked on its way, and at its end what was found."""
    return board.view()


@REPLAY.operation("POST", "/replay/play", PlayWish, ReplayState, of=("replay",))
async def play_replay(board: ReplayBoard, asked: PlayWish) -> ReplayState:
    """Go on from where it is, at that speed; at the end: anew from the beginning."""
    return board.play(_speed(board, asked))


@REPLAY.operation("POST", "/replay/pause", Nothing, ReplayState, of=("replay",))
async def pause_replay(board: ReplayBoard, asked: Nothing) -> ReplayState:
    """Stand still, until somebody plays or seeks."""
    return board.pause()


@REPLAY.operation("POST", "/replay/speed", PlayWish, ReplayState, of=("replay",))
async def speed_replay(board: ReplayBoard, asked: PlayWish) -> ReplayState:
    """Set how fast it goes, whether it plays now or not."""
    speed = _speed(board, asked)
    if speed is None:
        raise UsageError("say how fast", "give `speed` or `whole`")
    return board.set_speed(speed)


@REPLAY.operation("POST", "/replay/seek", SeekWish, ReplayState, of=("replay",))
async def seek_replay(board: ReplayBoard, asked: SeekWish) -> ReplayState:
    """Go to a moment of the run, forth or back (beyond its end: to its end); it plays on from there
    if it played."""
    return board.seek(asked.to)


def _speed(board: ReplayBoard, asked: PlayWish) -> float | None:
    if asked.speed is not None and asked.whole is not None:
        raise UsageError("`speed` and `whole` exclude each other", "give one of them")
    return asked.speed if asked.whole is None else board.replay.speed_for(asked.whole)
