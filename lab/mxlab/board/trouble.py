"""Operations on what is broken."""

import asyncio
import typing

import msgspec

from mxlab.board.board import Board
from mxlab.board.endpoint import Nothing, OperationGroup
from mxlab.board.views import FaultView, KindView
from mxlab.board.wishes import FaultWish, IdWish
from mxlab.errors import NodeUnreachable, Refused, ScenarioError
from mxlab.faults import CATALOGUE, fault_called
from mxlab.faults.open import OpenFault
from mxlab.operate.faults import break_something, undo
from mxlab.scenario.steps import read_mechanism
from mxlab.scenario.yaml import parse
from mxlab.visible import exact_json
from mxlab_services.faults.base import Mechanism

SETTLING = 3.0  # real seconds in which a node that runs and is silent may be coming or going
FAULTS = OperationGroup("faults", "What is broken, what can be, and how it is made good again.")


@FAULTS.operation("GET", "/faults", Nothing, list[FaultView])
async def show_faults(board: Board, asked: Nothing) -> list[FaultView]:
    """All that is broken now."""
    end = asyncio.get_running_loop().time() + SETTLING
    while True:
        try:
            return [_view(one) for one in await board.faults()]
        except (NodeUnreachable, Refused):  # it may have died, or begun, just now
            if asyncio.get_running_loop().time() > end:
                raise
        await asyncio.sleep(SETTLING / 10)


@FAULTS.operation("GET", "/faults/kinds", Nothing, list[KindView])
async def show_kinds(board: Board, asked: Nothing) -> list[KindView]:
    """Every kind of fault, and what it takes."""
    return [
        KindView(kind, entry.summary, _parameters(entry.mechanism))
        for kind, entry in CATALOGUE.items()
    ]


@FAULTS.operation("POST", "/faults", FaultWish, FaultView)
async def inject_fault(board: Board, asked: FaultWish) -> FaultView:
    """Break something until it is healed; returns when it is in effect. Deterministic where it is
    asked to be: `first`, `every`, `recipient`, `verb` are parameters as in a scenario."""
    mechanism = _mechanism(asked)
    chosen = await break_something(board.lab, mechanism, asked.id)
    return FaultView(chosen, mechanism.host, mechanism.kind, asked.parameters)


@FAULTS.operation("DELETE", "/faults", Nothing, list[FaultView])
async def heal_all(board: Board, asked: Nothing) -> list[FaultView]:
    """Make everything good again; returns what was broken."""
    return [_view(one) for one in await undo(board.lab, [])]


@FAULTS.operation("DELETE", "/faults/{id}", IdWish, list[FaultView])
async def heal_fault(board: Board, asked: IdWish) -> list[FaultView]:
    """Undo a fault by its id, or all that is broken at a node by the node's name."""
    return [_view(one) for one in await undo(board.lab, [asked.id])]


def _view(one: OpenFault) -> FaultView:
    parameters = {key: msgspec.to_builtins(value) for key, value in one.parameters.items()}
    return FaultView(one.name, one.host, one.kind, parameters, one.struck)


def _mechanism(asked: FaultWish) -> Mechanism:
    """Raises UsageError: what is wrong with it, as a scenario's reader says it."""
    given = exact_json({"host": asked.host, **asked.parameters})
    try:
        return read_mechanism(parse(given, ""), fault_called(asked.kind).mechanism)
    except ScenarioError as error:
        raise error.placeless(asked.kind) from error


def _parameters(kind: type[Mechanism]) -> dict[str, str]:
    fields = (f for f in msgspec.structs.fields(kind) if f.name != "host")
    return {field.encode_name: _words(field.type) for field in fields}


def _words(kind: typing.Any) -> str:
    """A type in words: what JSON has for it."""
    bare = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
    if typing.get_origin(bare) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(bare)))
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    if bare in names:
        return names[bare]
    if typing.get_origin(bare) is tuple:
        return f"a list of {_words(typing.get_args(bare)[0])}"
    arms = [_words(arm) for arm in typing.get_args(bare) if arm is not type(None)]
    return " or ".join(dict.fromkeys(arms)) or "a value"
