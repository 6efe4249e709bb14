"""Operations on the lab as a whole and on its nodes."""

import msgspec

from mxlab.board.board import Board
from mxlab.board.endpoint import Nothing, OperationGroup
from mxlab.board.feed import ToldView
from mxlab.board.replay import ReplayBoard
from mxlab.board.views import (
    BoardView,
    ClockView,
    DoneView,
    FigureView,
    FindingView,
    LogView,
    NodeStateView,
    SettingsView,
    VerdictsView,
    WaitedView,
)
from mxlab.board.wishes import (
    JudgeWish,
    LogWish,
    NodeActWish,
    NodeWish,
    RecentWish,
    SettingsWish,
    WaitWish,
)
from mxlab.checks.conditions import rule_of
from mxlab.errors import ScenarioError
from mxlab.history.biography import describe as in_words
from mxlab.model.condition import AnyCondition
from mxlab.model.finding import Verdict, overall
from mxlab.operate.describe import LabView, describe
from mxlab.operate.nodes import act
from mxlab.operate.settings import change_settings
from mxlab.runner.now import name_batches, read_events
from mxlab.runner.reset import reset
from mxlab.runner.watch import watching
from mxlab.scenario.steps import read_condition
from mxlab.scenario.yaml import parse
from mxlab.visible import exact_json, visible
from mxlab_services.control.requests import ConfigList

LAB = OperationGroup("lab", "The lab as a whole.")
NODES = OperationGroup("nodes", "Each node: its life, its settings, its log.")


@LAB.operation("GET", "/lab", Nothing, LabView)
async def show_lab(board: Board, asked: Nothing) -> LabView:
    """What the lab is, and how its nodes are now."""
    return await describe(board.lab)


@LAB.operation("GET", "/clock", Nothing, ClockView)
async def show_clock(board: Board, asked: Nothing) -> ClockView:
    """What time it is in the lab."""
    clock = board.lab.clock
    return ClockView(clock.time(), 1 / clock.real(1.0))


@LAB.operation("GET", "/figures", Nothing, FigureView)
async def show_figures(board: Board, asked: Nothing) -> FigureView:
    """Queue depths, attempts, deliveries and replies by code, now and over lab time."""
    figures, series = board.feed.figures, board.feed.figures.series
    steps = msgspec.to_builtins(series.steps)
    return FigureView(
        figures.depth, dict(figures.totals), dict(figures.replies), series.seconds, steps
    )


@LAB.operation("GET", "/board", Nothing, BoardView)
async def show_board(board: Board, asked: Nothing) -> BoardView:
    """What this board is of: a lab, or a replay of a run, and how far that is."""
    state = board.replay.state if isinstance(board, ReplayBoard) else None
    return BoardView(board.kind, board.name, board.is_up, state)


@LAB.operation("GET", "/events/last", RecentWish, list[ToldView])
async def recent_events(board: Board, asked: RecentWish) -> list[ToldView]:
    """What happened last, in words, the oldest first: everywhere, or at one node."""
    if asked.node:
        board.node(asked.node)
    return board.feed.recent(asked.count, asked.node)


@LAB.operation("POST", "/reset", Nothing, DoneView)
async def reset_lab(board: Board, asked: Nothing) -> DoneView:
    """Bring the lab back to its first state: no mail, no faults, as configured."""
    await reset(board.lab)
    return DoneView()


@LAB.operation("GET", "/judge", JudgeWish, VerdictsView)
async def judge_lab(board: Board, asked: JudgeWish) -> VerdictsView:
    """Apply the checks to all that has happened so far."""
    names = [name.strip() for name in asked.checks.split(",") if name.strip()]
    found = await board.inspected(names)
    verdict = Verdict.UNKNOWN if found.moving else overall(found.findings)
    rows = [FindingView(f.check, f.verdict.value, f.text, list(f.details)) for f in found.findings]
    return VerdictsView(verdict.value, rows, found.moving)


@LAB.operation("POST", "/wait", WaitWish, WaitedView, of=("lab", "replay"))
async def wait_for(board: Board, asked: WaitWish) -> WaitedView:
    """Wait until a condition of the scenario language holds, or the time is over."""
    rule = rule_of(_condition(asked.condition))
    lab = board.lab
    async with watching(lab) as watch:

        async def holds() -> bool:
            name_batches(watch.trace, lab.topology)
            return await rule.holds(watch.trace, lab)

        seconds = asked.within / lab.clock.real(1.0)
        held = await watch.until(holds, seconds) or await rule.confirmed(watch.trace, lab)
        why = [] if held else rule.reasons(watch.trace, lab.clock.time())
        return WaitedView(held, rule.observed(watch.trace), list(why))


def _condition(given: dict[str, object]) -> AnyCondition:
    """Raises UsageError: what is wrong with it, as a scenario's reader says it."""
    try:
        return read_condition(parse(exact_json(given), ""))
    except ScenarioError as error:
        raise error.placeless() from error


@NODES.operation("GET", "/nodes/{node}/settings", NodeWish, SettingsView)
async def show_settings(board: Board, asked: NodeWish) -> SettingsView:
    """All settings of a node, as `mxlab config` shows them."""
    return SettingsView(asked.node, await board.node(asked.node).request(ConfigList()))


@NODES.operation("PATCH", "/nodes/{node}/settings", SettingsWish, SettingsView)
async def set_settings(board: Board, asked: SettingsWish) -> SettingsView:
    """Change settings of a node that runs, all of them or none; returns those that changed."""
    _, after = await change_settings(board.node(asked.node), asked.set)
    return SettingsView(asked.node, after)


@NODES.operation("POST", "/nodes/{node}/{action}", NodeActWish, NodeStateView)
async def act_on_node(board: Board, asked: NodeActWish) -> NodeStateView:
    """Start, stop, kill, pause or resume a node; returns when it is so."""
    state = await act(asked.action, asked.node, board.node(asked.node))
    return NodeStateView(asked.node, state)


@NODES.operation("GET", "/nodes/{node}/log", LogWish, LogView)
async def read_log(board: Board, asked: LogWish) -> LogView:
    """What a node did, in words, the last lines; works for one that is down, too."""
    node = board.node(asked.node)
    if board.feed.is_whole(asked.node):
        told = board.feed.recent(asked.lines, asked.node)
        return LogView(asked.node, [f"{one.at:.3f} {one.text}" for one in told])
    read = await read_events(node)
    lines = [f"{event.at:.3f} {in_words(event)}" for event in read[-asked.lines :]]
    return LogView(asked.node, [visible(line) for line in lines])
