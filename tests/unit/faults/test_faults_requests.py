"""Faults as values and as requests: what is refused, what the board says, and how it undoes."""

import asyncio
import random

import msgspec
import pytest

from mxlab_services.control.rpc import answer_line
from mxlab_services.errors import ControlError
from mxlab_services.faults.injector import MOST, Board, Occasion, Standing
from mxlab_services.faults.kinds import (
    ALWAYS,
    AnyFault,
    Cut,
    Delay,
    DiskFull,
    Greylist,
    LoseAck,
    MailboxFull,
    Nxdomain,
    Refuse,
    ReplyWith,
    Reset,
    Select,
    TlsBroken,
    problem,
    same_address,
)
from mxlab_services.faults.requests import FaultClear, FaultList, FaultSet, FaultState
from tests.support.fault_lab import BOB, Faulty, edge_desk


class Stage(Faulty):
    """A board over a site that says what it was asked, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.fails = ""
        self.board = Board(self.emit)
        self.board.answer(self.controls, self)

    def check(self, fault: AnyFault) -> None:
        self.asked.append(f"check {fault.kind}")

    async def begin(self, standing: Standing[AnyFault]) -> None:
        await self._do(f"begin {standing.id}")

    async def end(self, standing: Standing[AnyFault]) -> None:
        await self._do(f"end {standing.id}")

    async def _do(self, what: str) -> None:
        self.asked.append(what)
        await asyncio.sleep(0)
        if what == self.fails:
            raise ControlError("it failed")

    def ids(self) -> list[str]:
        return [standing.id for standing in self.board.of(Refuse, Cut, LoseAck)]


async def test_the_board_lists_what_is_set_in_its_order() -> None:
    stage = Stage()
    await stage.put(Cut(9), "b")
    await stage.put(Refuse(), "a")
    assert await stage.controls(FaultList()) == [
        FaultState("b", Cut(9)),
        FaultState("a", Refuse()),
    ]


async def test_the_same_fault_again_changes_nothing_and_another_is_refused() -> None:
    stage = Stage()
    await stage.put(Cut(9))
    stage.board.strikes(stage.board.of(Cut)[0], Occasion("connection"))
    assert await stage.put(Cut(9)) == FaultState("f", Cut(9), 1, 1)
    with pytest.raises(ControlError, match="clear it first") as caught:
        await stage.put(Cut(8))
    assert caught.value.code == -32602
    assert stage.asked == ["check cut", "begin f"]


async def test_clearing_one_and_all_in_reverse() -> None:
    stage = Stage()
    for name in "abc":
        await stage.put(Cut(9), name)
    assert await stage.clear("b") == ["b"]
    assert await stage.controls(FaultClear(all=True)) == ["c", "a"]
    assert await stage.controls(FaultClear(all=True)) == []
    assert stage.asked[-3:] == ["end b", "end c", "end a"]
    assert not stage.board


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (FaultClear("x"), "no fault 'x' is set; set are: a"),
        (FaultClear(), "name one fault, or say all"),
        (FaultClear("a", all=True), "name one fault, or say all"),
        (FaultSet("", Refuse()), "needs an id"),
        (FaultSet("z", Cut(-1)), "Expected `int` >= 0"),
        (FaultSet("z", ReplyWith("MAIL", 250)), "Expected `int` >= 400"),
        (FaultSet("z", ReplyWith("MAIL", 450, "5.1.1")), "different classes"),
        (FaultSet("z", ReplyWith("MAIL", 450, text="a\r\nb")), "matching regex"),
        (FaultSet("z", Delay("MAIL", 0)), "Expected `float` > 0"),
        (FaultSet("z", Reset("MAIL", Select(recipient=BOB))), "at MAIL cannot be selected"),
        (FaultSet("z", Reset("CONNECT", Select(sender=BOB))), "cannot be selected by `sender`"),
        (FaultSet("z", MailboxFull(BOB, Select(peer="10.0.0.1"))), "selected by `peer`"),
        (FaultSet("z", Greylist(60, select=Select(nth=1))), "selected by `nth`"),
        (FaultSet("z", TlsBroken("expired")), "which need both"),
        (FaultSet("z", TlsBroken("handshake-cut", "pem", "pem")), "which need both"),
    ],
)
async def test_bad_values_are_refused_and_change_nothing(
    request_: "FaultSet | FaultClear", text: str
) -> None:
    stage = Stage()
    await stage.put(Cut(9), "a")
    with pytest.raises(ControlError, match=text) as caught:
        await stage.controls(request_)
    assert caught.value.code == -32602
    assert [state.id for state in await stage.controls(FaultList())] == ["a"]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ('{"kind":"nonsense"}', "Invalid value 'nonsense'"),
        ('{"kind":"cut"}', "missing required field `after`"),
        ('{"kind":"cut","after":1,"extra":2}', "unknown field `extra`"),
        ('{"kind":"cut","after":1,"select":{"first":1,"nth":1}}', "only one of"),
        ('{"kind":"cut","after":1,"select":{"first":0}}', ">= 1"),
        ('{"kind":"cut","after":1,"select":{"peer":"mx1"}}', "IPv4 or IPv6"),
        ('{"kind":"greylist","seconds":1,"exempt":["mx2"]}', "IPv4 or IPv6"),
        ('{"kind":"reply","verb":"QUIT","code":450}', "Invalid enum value 'QUIT'"),
    ],
)
async def test_what_is_no_fault_on_the_wire_is_invalid_params(fault: str, text: str) -> None:
    line = f'{{"jsonrpc":"2.0","id":1,"method":"fault.set","params":{{"id":"f","fault":{fault}}}}}'
    answer = msgspec.json.decode(await answer_line(Stage().controls, line.encode()))
    assert answer["error"]["code"] == -32602
    assert text in answer["error"]["message"]


async def test_what_could_not_begin_is_not_set_and_what_could_not_end_is() -> None:
    stage = Stage()
    stage.fails = "begin f"
    with pytest.raises(ControlError, match="it failed"):
        await stage.put(Refuse())
    assert (stage.ids(), stage.asked[-1]) == ([], "end f")
    stage.fails = "end f"
    await stage.put(Refuse())
    with pytest.raises(ControlError, match="it failed"):
        await stage.clear()
    assert stage.ids() == ["f"]
    stage.fails = ""
    assert await stage.clear() == ["f"]


async def test_requests_at_the_same_time_are_done_one_by_one() -> None:
    stage = Stage()
    await asyncio.gather(stage.put(Refuse(), "a"), stage.put(Refuse(), "b"))
    assert stage.asked == ["check refuse", "begin a", "check refuse", "begin b"]


async def test_the_number_of_faults_is_bounded() -> None:
    stage = Stage()
    for number in range(MOST):
        await stage.put(Cut(1), str(number))
    with pytest.raises(ControlError, match="clear some"):
        await stage.put(Cut(1), "more")


async def test_equal_seeds_strike_alike_and_ids_apart() -> None:
    def run(seed: str) -> list[bool]:
        board = Board(lambda body, message=None: None)
        fault = LoseAck(Select(chance=0.3))
        standing = Standing("f", fault, random.Random(seed))
        return [board.strikes(standing, Occasion("DOT")) for _ in range(200)]

    assert run("1/mx1/fault/f") == run("1/mx1/fault/f") != run("2/mx1/fault/f")
    assert 30 < sum(run("1/mx1/fault/f")) < 90


def test_addresses_compare_as_a_person_means_it() -> None:
    assert same_address("Bob@Example.test", "bob@example.TEST")
    assert same_address("@example.test", "x@EXAMPLE.test")
    assert not same_address("@example.test", "x@sub.example.test")
    assert Select(sender="").fits("10.0.0.1", "", ())
    assert not Select(sender="").fits("10.0.0.1", None, ())
    assert not Select(sender="a@b").fits("10.0.0.1", "", ())
    assert not Select(peer="10.0.0.0/8").fits("", None, ())


def test_a_value_survives_the_wire_and_says_its_kind() -> None:
    fault = LoseAck(Select(nth=3, recipient=BOB))
    text = msgspec.json.encode(fault)
    assert text == b'{"kind":"lose-ack","select":{"nth":3,"recipient":"bob@example.test"}}'
    assert msgspec.json.decode(text, type=AnyFault) == fault
    assert (fault.kind, problem(fault)) == ("lose-ack", None)
    assert (DiskFull().selected, problem(DiskFull())) == (ALWAYS, None)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Nxdomain("example.test"), "set it at dns"),
        (MailboxFull("bob@elsewhere.test"), "has no mailbox on mx1"),
        (TlsBroken("handshake-cut"), "mx1 offers no STARTTLS"),
    ],
)
async def test_what_this_mta_cannot_have_is_refused(fault: AnyFault, text: str) -> None:
    async with edge_desk() as desk:
        with pytest.raises(ControlError, match=text) as caught:
            await desk.put(fault)
        assert caught.value.code == -32602
