"""Faults as values and as requests: what is refused, what the injector says, and how it undoes."""

import asyncio
import random

import msgspec
import pytest

from mxlab_services.control.rpc import answer_line
from mxlab_services.errors import ControlError
from mxlab_services.faults.base import same_address
from mxlab_services.faults.injector import MOST, ActiveFault, NodeInjector, Occasion
from mxlab_services.faults.kinds import (
    AnyFault,
    Cut,
    Delay,
    DiskFull,
    DnsNxdomain,
    Greylist,
    LoseAck,
    MailboxFull,
    Refuse,
    ReplyWith,
    Reset,
    TlsBroken,
    problem,
)
from mxlab_services.faults.requests import FaultClear, FaultList, FaultSet, FaultState
from tests.support.fault_lab import BOB, Faulty, edge_desk


class Stage(Faulty):
    """An injector over effects that say what was asked, and fail when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.fails = ""
        self.injector = NodeInjector(self.emit)
        self.injector.answer(self.controls, self)

    def check(self, fault: AnyFault) -> None:
        self.asked.append(f"check {fault.kind}")

    async def begin(self, active: ActiveFault[AnyFault]) -> None:
        await self._do(f"begin {active.id}")

    async def end(self, active: ActiveFault[AnyFault]) -> None:
        await self._do(f"end {active.id}")

    async def _do(self, what: str) -> None:
        self.asked.append(what)
        await asyncio.sleep(0)
        if what == self.fails:
            raise ControlError("it failed")

    def ids(self) -> list[str]:
        return [active.id for active in self.injector.of(Refuse, Cut, LoseAck)]


async def test_the_board_lists_what_is_set_in_its_order() -> None:
    stage = Stage()
    await stage.put(Cut("mx1", 9), "b")
    await stage.put(Refuse("mx1"), "a")
    assert await stage.controls(FaultList()) == [
        FaultState("b", Cut("mx1", 9)),
        FaultState("a", Refuse("mx1")),
    ]


async def test_the_same_fault_again_changes_nothing_and_another_is_refused() -> None:
    stage = Stage()
    await stage.put(Cut("mx1", 9))
    stage.injector.strikes(stage.injector.of(Cut)[0], Occasion("connection"))
    assert await stage.put(Cut("mx1", 9)) == FaultState("f", Cut("mx1", 9), 1, 1)
    with pytest.raises(ControlError, match="clear it first") as caught:
        await stage.put(Cut("mx1", 8))
    assert caught.value.code == -32602
    assert stage.asked == ["check cut", "begin f"]


async def test_clearing_one_and_all_in_reverse() -> None:
    stage = Stage()
    for name in "abc":
        await stage.put(Cut("mx1", 9), name)
    assert await stage.clear("b") == ["b"]
    assert await stage.controls(FaultClear(all=True)) == ["c", "a"]
    assert await stage.controls(FaultClear(all=True)) == []
    assert stage.asked[-3:] == ["end b", "end c", "end a"]
    assert not stage.injector


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (FaultClear("x"), "no fault 'x' is set; set are: a"),
        (FaultClear(), "name one fault, or say all"),
        (FaultClear("a", all=True), "name one fault, or say all"),
        (FaultSet("", Refuse("mx1")), "needs an id"),
        (FaultSet("z", Cut("mx1", -1)), "`after`: expected a whole number >= 0"),
        (FaultSet("z", ReplyWith("mx1", "MAIL", 250)), "`code`: expected a whole number >= 400"),
        (FaultSet("z", ReplyWith("mx1", "MAIL", 450, "5.1.1")), "different classes"),
        (FaultSet("z", ReplyWith("mx1", "MAIL", 450, text="a\r\nb")), "matching regex"),
        (FaultSet("z", Delay("mx1", "MAIL", 0)), "`seconds`: expected a number > 0"),
        (FaultSet("z", Reset("mx1", "MAIL", recipient=BOB)), "at MAIL cannot be selected"),
        (FaultSet("z", Reset("mx1", "CONNECT", sender=BOB)), "cannot be selected by `sender`"),
        (FaultSet("z", Cut("mx1", 1, first=1, nth=1)), "only one of"),
        (FaultSet("z", Cut("mx1", 1, peer="client")), "knows no 'client', only addresses"),
        (FaultSet("z", Cut("mx1", 1, peer="10.0.0.300")), "`peer`: .* IPv4 or IPv6"),
        (FaultSet("z", Greylist("mx1", 1, exempt=("mx2",))), "knows no 'mx2', only addresses"),
        (FaultSet("z", Greylist("mx1", 1, exempt=("10.0.0.1/8",))), "`exempt`: .* host bits"),
        (FaultSet("z", Greylist("mx1", 60, nth=1)), "selected by `nth`"),
        (FaultSet("z", TlsBroken("mx1", "expired")), "which need both"),
        (FaultSet("z", TlsBroken("mx1", "handshake-cut"), ("pem", "pem")), "which need both"),
    ],
)
async def test_bad_values_are_refused_and_change_nothing(
    request_: "FaultSet | FaultClear", text: str
) -> None:
    stage = Stage()
    await stage.put(Cut("mx1", 9), "a")
    with pytest.raises(ControlError, match=text) as caught:
        await stage.controls(request_)
    assert caught.value.code == -32602
    assert [state.id for state in await stage.controls(FaultList())] == ["a"]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ('{"kind":"nonsense"}', "Invalid value 'nonsense'"),
        ('{"kind":"cut","host":"mx1"}', "missing required field `after`"),
        ('{"kind":"cut","host":"mx1","after":1,"extra":2}', "unknown field `extra`"),
        ('{"kind":"cut","host":"mx1","after":1,"first":0}', ">= 1"),
        (
            '{"kind":"mailbox-full","host":"mx1","address":"b@c","peer":""}',
            "unknown field `peer`",
        ),
        ('{"kind":"dns-null-mx","name":"a.test","recipient":"b@c"}', "unknown field `recipient`"),
        ('{"kind":"reply","host":"mx1","verb":"QUIT","code":450}', "Invalid enum value 'QUIT'"),
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
        await stage.put(Refuse("mx1"))
    assert (stage.ids(), stage.asked[-1]) == ([], "end f")
    stage.fails = "end f"
    await stage.put(Refuse("mx1"))
    with pytest.raises(ControlError, match="it failed"):
        await stage.clear()
    assert stage.ids() == ["f"]
    stage.fails = ""
    assert await stage.clear() == ["f"]


async def test_requests_at_the_same_time_are_done_one_by_one() -> None:
    stage = Stage()
    await asyncio.gather(stage.put(Refuse("mx1"), "a"), stage.put(Refuse("mx1"), "b"))
    assert stage.asked == ["check refuse", "begin a", "check refuse", "begin b"]


async def test_the_number_of_faults_is_bounded() -> None:
    stage = Stage()
    for number in range(MOST):
        await stage.put(Cut("mx1", 1), str(number))
    with pytest.raises(ControlError, match="clear some"):
        await stage.put(Cut("mx1", 1), "more")


async def test_equal_seeds_strike_alike_and_ids_apart() -> None:
    def run(seed: str) -> list[bool]:
        injector = NodeInjector(lambda body, message=None: None)
        fault = LoseAck("mx1", chance=0.3)
        active = ActiveFault("f", fault, random.Random(seed))
        return [injector.strikes(active, Occasion("DOT")) for _ in range(200)]

    assert run("1/mx1/fault/f") == run("1/mx1/fault/f") != run("2/mx1/fault/f")
    assert 30 < sum(run("1/mx1/fault/f")) < 90


def test_addresses_compare_as_a_person_means_it() -> None:
    assert same_address("Bob@Example.test", "bob@example.TEST")
    assert same_address("@example.test", "x@EXAMPLE.test")
    assert not same_address("@example.test", "x@sub.example.test")
    assert LoseAck("mx1", sender="").fits("10.0.0.1", "", ())
    assert not LoseAck("mx1", sender="").fits("10.0.0.1", None, ())
    assert not LoseAck("mx1", sender="a@b").fits("10.0.0.1", "", ())
    assert not LoseAck("mx1", peer="10.0.0.0/8").fits("", None, ())


def test_a_value_survives_the_wire_and_says_its_kind() -> None:
    fault = LoseAck("mx1", nth=3, recipient=BOB)
    text = msgspec.json.encode(fault)
    assert msgspec.json.decode(text)["kind"] == "lose-ack"
    assert msgspec.json.decode(text, type=AnyFault) == fault
    assert (fault.kind, problem(fault)) == ("lose-ack", None)
    assert problem(DiskFull("mx1")) is None


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (DnsNxdomain(name="example.test"), "set it at dns"),
        (MailboxFull("mx1", "bob@elsewhere.test"), "has no mailbox on mx1"),
        (TlsBroken("mx1", "handshake-cut"), "mx1 offers no STARTTLS"),
    ],
)
async def test_what_this_mta_cannot_have_is_refused(fault: AnyFault, text: str) -> None:
    async with edge_desk() as desk:
        with pytest.raises(ControlError, match=text) as caught:
            await desk.put(fault)
        assert caught.value.code == -32602
