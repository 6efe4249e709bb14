"""A run that is over, replayed: what it shows at each moment, and what it refuses."""

import asyncio
from typing import Any

import pytest

from mxlab.board.operations import OPERATIONS
from mxlab.board.recorded import NO_CONTENT, RecordedRun
from mxlab.errors import UsageError
from mxlab.history.trace import Trace
from mxlab.report.viewer import view
from mxlab_services.events import decode
from tests.support.boards import Asking, on_board
from tests.support.replays import ReplayClient, on_replay, played

OUTAGE = "primary-outage"
DAYS = "five-day-outage"
EVERYWHERE = ("/lab", "/queues", "/faults", "/mailboxes", "/messages", "/figures", "/events/last")
NOT_HERE: dict[str, tuple[str, Any]] = {  # what a replay refuses, rightly asked
    "reset_lab": ("/reset", {}),
    "set_settings": ("/nodes/mx1/settings", {"set": {"limits.message_size": 1}}),
    "act_on_node": ("/nodes/mx1/kill", {}),
    "flush_queues": ("/queues/flush", {}),
    "edit_queue": ("/queues/mx1/edit", {"action": "hold", "queue_ids": ["ALL"]}),
    "send_mail": ("/send", {"to": ["bob@example.test"]}),
    "delete_messages": ("/messages", None),
    "delete_message": ("/messages/x", None),
    "inject_fault": ("/faults", {"kind": "refuse", "host": "mx1"}),
    "heal_all": ("/faults", None),
    "heal_fault": ("/faults/down", None),
    "put_zone": ("/zones/example.test", {"text": ""}),
    "start_exercise": ("/exercises/x/start", {}),
    "look_at_task": ("/exercise/look", {}),
    "check_task": ("/exercise/check", {}),
    "give_hint": ("/exercise/hint", {}),
    "show_solution": ("/exercise/solution", {}),
    "skip_task": ("/exercise/skip", {}),
    "reset_exercise": ("/exercise/reset", {}),
    "end_terminals": ("/terminals", None),
    "end_terminal": ("/terminals/x", None),
    "edit_record": ("/zones/records", {"record": "x.example.test. TXT x", "action": "add"}),
}
UNASKED = ("/zones", "/dig?name=example.test", "/route?address=bob@example.test")


async def shown(api: ReplayClient) -> dict[str, Any]:
    """All that the board says of the moment to which it has come, but for numbers of events."""
    found = {path: await api.ask(path) for path in EVERYWHERE}
    for one in found["/events/last"]:
        del one["number"]
    for node in api.board.run.configs:
        found[node] = await api.ask(f"/nodes/{node}/log")
    return found


def moments(run: RecordedRun, count: int) -> list[float]:
    """Some moments of a run, spread over its events, from the last to the first."""
    step = max(1, len(run.events) // count)
    return [event.at - run.begin for event in run.events[::-step]]


@pytest.mark.parametrize("name", [OUTAGE, DAYS])
def test_a_moment_is_the_same_by_whichever_way_one_came(name: str) -> None:
    run = played(name)

    async def back_and_forth(api: ReplayClient) -> list[dict[str, Any]]:
        found = []
        for to in moments(run, 12):
            await api.ask("/replay/seek", {"to": to})
            found.append(await shown(api))
        return found

    async def straight(api: ReplayClient) -> list[dict[str, Any]]:
        found = []
        for to in reversed(moments(run, 12)):
            await api.ask("/replay/seek", {"to": to})
            found.append(await shown(api))
        return found[::-1]

    assert on_replay(run, back_and_forth) == on_replay(run, straight)


def test_queues_are_as_deep_as_the_report_draws_them() -> None:
    """Against the report's own reckoning, which is another."""
    run = played(DAYS)
    lanes = {lane.name: lane.depth for lane in view(run.result).lanes}

    async def story(api: ReplayClient) -> None:
        deep = 0
        for to in moments(run, 20):
            await api.ask("/replay/seek", {"to": to})
            for queue in await api.ask("/queues"):
                past = [count for at, count in lanes[queue["node"]] if at <= to + 1e-6]
                assert len(queue["entries"]) == (past[-1] if past else 0), (to, queue["node"])
                deep = max(deep, len(queue["entries"]))
        assert deep >= 3

    on_replay(run, story)


def test_in_the_midst_of_an_outage_all_of_it_is_to_be_seen() -> None:
    run = played(DAYS)

    async def story(api: ReplayClient) -> None:
        await api.ask("/replay/seek", {"to": 2 * 86400})
        lab = {node["node"]: node for node in (await api.ask("/lab"))["nodes"]}
        assert lab["mx1"]["state"] == "stopped"
        assert lab["mx2"]["queued"] == 3
        assert [(f["id"], f["host"], f["kind"]) for f in await api.ask("/faults")] == [
            ("down", "mx1", "kill")
        ]
        (queue,) = [q for q in await api.ask("/queues") if q["node"] == "mx2"]
        now = (await api.ask("/clock"))["lab_time"]
        for entry in queue["entries"]:
            assert "timed out" in entry["recipients"][0]["delay_reason"]
            assert entry["next_attempt"] > run.begin
        assert await api.ask("/mailboxes") == [
            {"node": "client", "mailbox": "alice@client.test", "messages": 3}
        ]
        told = await api.ask("/events/last?count=1000")
        assert max(one["at"] for one in told) <= now
        lines = (await api.ask("/trace?message=last"))["lines"]
        assert any("kill mx1" in line for line in lines)
        assert not any("gives up" in line for line in lines)
        await api.ask("/replay/seek", {"to": 1e9})
        assert await api.ask("/faults") == []
        assert (await api.ask("/lab"))["nodes"][1]["state"] == "running"

    on_replay(run, story)


def test_the_verdict_is_there_at_the_end_and_not_before() -> None:
    run = played(OUTAGE)

    async def story(api: ReplayClient) -> None:
        early = await api.ask("/replay")
        assert (early["verdict"], early["findings"]) == (None, [])
        refused = await api.reply("GET", "/judge")
        assert (refused.status_code, refused.json()["hint"]) == (
            409, "play on, or seek to the end"
        )  # fmt: skip
        await api.ask("/replay/seek", {"to": run.length})
        late = await api.ask("/replay")
        assert late["verdict"] == "pass"
        judged = await api.ask("/judge")
        assert judged["findings"] == late["findings"]
        assert [f["check"] for f in late["findings"]] == [f.check for f in run.result.findings]
        one = await api.ask("/judge?checks=nothing-lost")
        assert [f["check"] for f in one["findings"]] == ["nothing-lost"]
        assert (await api.reply("GET", "/judge?checks=mx-ordr")).status_code == 404

    on_replay(run, story)


def test_played_to_its_end_each_event_is_told_once_and_in_order() -> None:
    run = played(OUTAGE)

    async def story(api: ReplayClient) -> None:
        first = api.board.feed.last
        assert (await api.ask("/replay/play", {"whole": 0.2}))["playing"]
        await api.until_ended()
        items = api.board.feed.after(first, 100_000).told
        told = [item for item in items if not item.kind.startswith("replay.")]
        assert [item.kind for item in told] == [e.kind for e in run.events[-len(told) :]]
        early = [event for event in run.events if event.at == run.begin]
        assert len(told) == len(run.events) - len(early)
        assert [item.kind for item in items][-1] == "replay.state"
        again = await api.ask("/replay/play", {"speed": 0.001})
        assert again["position"] < 1
        assert (await api.ask("/replay"))["verdict"] is None

    on_replay(run, story)


def test_it_stands_still_while_it_is_paused() -> None:
    async def story(api: ReplayClient) -> None:
        await api.ask("/replay/play", {"speed": 3600})
        await api.board.feed.until(lambda: api.board.replay.position > 1, 30)
        paused = await api.ask("/replay/pause", {})
        last = api.board.feed.last
        assert not paused["playing"]
        assert not await api.board.feed.until(lambda: api.board.feed.last > last, 0.3)
        assert (await api.ask("/board"))["replay"] == paused
        assert (await api.ask("/replay/speed", {"whole": 10}))["speed"] == pytest.approx(
            paused["length"] / 10
        )
        assert (await api.ask("/clock"))["scale"] == pytest.approx(paused["length"] / 10)

    on_replay(played(DAYS), story)


def test_one_can_wait_for_what_will_happen() -> None:
    async def story(api: ReplayClient) -> None:
        waiting = asyncio.create_task(
            api.ask("/wait", {"condition": {"bounced": "batch"}, "within": 30})
        )
        await asyncio.sleep(0)
        await api.ask("/replay/play", {"whole": 1})
        found = await waiting
        assert (found["holds"], found["seen"]) == (True, "3 of 3 bounced")

    on_replay(played(DAYS), story)


def test_what_would_change_something_is_refused_with_what_to_do() -> None:
    changing = [op for op in OPERATIONS if "replay" not in op.of]
    assert {op.name for op in changing} == NOT_HERE.keys()

    async def story(api: ReplayClient) -> None:
        before = await shown(api)
        for op in changing:
            path, body = NOT_HERE[op.name]
            reply = await api.reply(op.method, path, body)
            assert reply.status_code == 409, (op.name, reply.text)
            assert "replay" in reply.json()["error"]
            assert "mxlab up" in reply.json()["hint"]
        for path in (*UNASKED, "/nodes/mx1/settings"):
            assert (await api.reply("GET", path)).status_code == 409, path
        assert await shown(api) == before

    on_replay(played(OUTAGE), story)


def test_a_lab_that_is_up_is_no_replay() -> None:
    async def story(api: Asking) -> None:
        assert await api.get("/board") == {
            "kind": "lab", "name": "lab", "up": True, "replay": None
        }  # fmt: skip
        for method, path in (("GET", "/replay"), ("POST", "/replay/play")):
            status, text = await api.status(method, path, {} if method == "POST" else None)
            assert (status, "lab that is up" in text) == (409, True)

    on_board(story)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/replay/seek", {"to": -1}, ">= 0"),
        ("/replay/seek", {}, "missing required field `to`"),
        ("/replay/seek", {"to": "noon"}, "Expected `float`"),
        ("/replay/play", {"speed": 0}, ">= 0.001"),
        ("/replay/play", {"speed": 1e300}, "<= 100000000"),
        ("/replay/play", {"whole": 0}, "> 0"),
        ("/replay/play", {"whole": 1, "speed": 1}, "exclude each other"),
        ("/replay/speed", {}, "say how fast"),
    ],
)
def test_bad_wishes(path: str, body: Any, told: str) -> None:
    async def story(api: ReplayClient) -> None:
        reply = await api.reply("POST", path, body)
        assert (reply.status_code, told in reply.json()["error"]) == (400, True), reply.text

    on_replay(played(OUTAGE), story)


def test_messages_are_read_where_they_were_kept_and_else_it_is_said() -> None:
    kept = played(OUTAGE)

    async def reading(api: ReplayClient) -> tuple[dict[str, Any], int]:
        await api.ask("/replay/seek", {"to": 1e9})
        one = (await api.ask("/messages"))["messages"][0]
        raw = await api.reply("GET", f"/messages/{one['id']}/raw")
        return await api.ask(f"/messages/{one['id']}"), raw.status_code

    there, status = on_replay(kept, reading)
    assert (there["missing"], status) == ("", 200)
    assert there["message"]["message"] in [h["value"] for h in there["letter"]["headers"]]
    gone, status = on_replay(RecordedRun(kept.result), reading)
    assert (gone["missing"], gone["letter"]["headers"], status) == (NO_CONTENT, [], 409)
    assert gone["message"] == there["message"]


def test_a_node_that_dies_at_the_instant_at_which_it_was_ready_is_dead() -> None:
    """The runner's word may stand before the node's: in virtual time both are of one instant."""
    run = played(DAYS)
    assert run.events[0].at == next(e.at for e in run.events if e.kind == "lab.fault")

    async def story(api: ReplayClient) -> None:
        states = {node["node"]: node["state"] for node in (await api.ask("/lab"))["nodes"]}
        assert states["mx1"] == "stopped"
        assert states["mx2"] == "running"

    on_replay(run, story)


def test_a_run_without_an_event_is_none() -> None:
    from dataclasses import replace

    with pytest.raises(UsageError, match="no event"):
        RecordedRun(replace(played(OUTAGE).result, trace=Trace()))


def test_lines_that_were_recorded_are_what_is_told() -> None:
    run = played(OUTAGE)

    async def story(api: ReplayClient) -> list[bytes]:
        await api.until_ended()
        return [
            item.data
            for item in api.board.feed.after(0, 100_000).told
            if not item.kind.startswith(("replay.", "lab.up"))
        ]

    run_ = RecordedRun(run.result)
    told = on_replay(run_, story_at_once(story), playing=False)
    assert [decode(line) for line in told] == run.events


def story_at_once(story: Any) -> Any:
    """The story, after the run was set to be played at once."""

    async def both(api: ReplayClient) -> Any:
        await api.ask("/replay/play", {"whole": 0.1})
        return await story(api)

    return both
