"""The API, asked as a program would: mail sent, waited for, read; faults; queues; zones."""

from typing import Any

import pytest

from mxlab.board.endpoint import PREFIX
from mxlab.board.openapi import ERRORS, openapi
from mxlab.board.operations import OPERATIONS
from tests.support.boards import API, Asking, on_board

BOB = "bob@example.test"


def test_a_suite_sends_waits_and_reads_the_latest() -> None:
    async def story(api: Asking) -> None:
        sent = await api.send(
            "POST", "/send", {"to": [BOB], "subject": "Grüße", "body": "hello", "batch": "one"}
        )
        waited = await api.send("POST", "/wait", {"condition": {"delivered": "one"}})
        assert waited["holds"], waited
        latest = await api.get("/messages/latest", query="grüße BOB")
        assert latest["message"]["message"] == sent["messages"][0]["message"]
        assert latest["message"]["subject"] == "Grüße"
        assert latest["letter"]["text"].strip() == "hello"
        name = latest["message"]["id"]
        raw = await api.client.get(f"{API}/messages/{name}/raw")
        assert raw.headers["content-type"] == "message/rfc822"
        assert raw.content.rstrip().endswith(b"hello")
        assert (await api.get(f"/messages/{name}"))["letter"] == latest["letter"]

    on_board(story)


def test_a_message_is_waited_for_and_one_that_does_not_come_is_none() -> None:
    async def story(api: Asking) -> None:
        assert await api.status("GET", "/messages/latest?wait=2") == (
            404, "no message is called 'latest'"
        )  # fmt: skip
        await api.send("POST", "/send", {"to": [BOB], "count": 3})
        found = await api.get("/messages", wait=30)
        assert found["total"] >= 1

    on_board(story)


def test_the_list_is_searched_paged_and_emptied_and_the_mailbox_keeps_its_mail() -> None:
    async def story(api: Asking) -> None:
        await api.send("POST", "/send", {"to": [BOB], "count": 5, "batch": "b", "subject": "first"})
        to = ["carol@example.test"]
        await api.send("POST", "/send", {"to": to, "batch": "c", "subject": "second"})
        for batch in "bc":
            await api.send("POST", "/wait", {"condition": {"delivered": batch}})
        assert (await api.get("/messages"))["total"] == 6
        assert (await api.get("/messages", query="SECOND carol"))["total"] == 1
        page = await api.get("/messages", mailbox=BOB, start=3, limit=10)
        assert (page["total"], len(page["messages"])) == (5, 2)
        assert await api.send("DELETE", f"/messages?mailbox={BOB}") == {"deleted": 5}
        assert (await api.get("/messages"))["total"] == 1
        condition = {"mailbox": {"address": BOB, "count": 5}}
        assert (await api.send("POST", "/wait", {"condition": condition}))["holds"]
        assert (await api.get("/judge"))["verdict"] == "pass"

    on_board(story)


def test_an_outage_by_hand_shows_reason_and_next_attempt() -> None:
    async def story(api: Asking) -> None:
        down = await api.send("POST", "/nodes/mx1/kill")
        assert down == {"node": "mx1", "state": "stopped"}
        await api.send("POST", "/send", {"to": [BOB], "batch": "b"})
        held = {"queue": {"host": "mx2", "holds": "b"}}
        assert (await api.send("POST", "/wait", {"condition": held, "within": 60}))["holds"]
        assert (await api.send("POST", "/wait", {"condition": {"deferred": "b"}, "within": 60}))[
            "holds"
        ]
        queue = await api.get("/queues/mx2")
        (entry,) = queue["entries"]
        assert entry["recipients"][0]["delay_reason"]
        assert entry["next_attempt"] > (await api.get("/clock"))["lab_time"]
        never = await api.send("POST", "/wait", {"condition": {"delivered": "b"}, "within": 1})
        assert not never["holds"]
        assert never["seen"] == "0 of 1 delivered"
        await api.send("POST", "/nodes/mx1/start")
        assert await api.send("POST", "/queues/flush", {"node": "mx2"}) == {"messages": {"mx2": 1}}
        back = await api.send("POST", "/wait", {"condition": {"delivered": "b"}, "within": 60})
        assert back["holds"]
        story_of_it = await api.get("/trace", message="b")
        assert any("mx2" in line for line in story_of_it["lines"])
        assert (await api.get("/figures"))["totals"]["delivered"] == 1

    on_board(story)


def test_a_fault_strikes_just_the_message_that_it_is_asked_to() -> None:
    async def story(api: Asking) -> None:
        kinds = {one["kind"]: one for one in await api.get("/faults/kinds")}
        assert {"verb", "code", "first"} <= set(kinds["reply"]["parameters"])
        fault = {"kind": "reply", "host": "mx1", "parameters": {"verb": "RCPT", "code": 550}}
        fault["parameters"] |= {"recipient": "carol@example.test"}  # type: ignore[operator]
        made = await api.send("POST", "/faults", fault)
        await api.send("POST", "/send", {"to": [BOB], "batch": "good"})
        await api.send("POST", "/send", {"to": ["carol@example.test"], "batch": "bad"})
        for condition in ({"delivered": "good"}, {"bounced": "bad"}):
            assert (await api.send("POST", "/wait", {"condition": condition}))["holds"]
        (shown,) = await api.get("/faults")
        assert (shown["id"], shown["struck"]) == (made["id"], 1)
        assert len(await api.send("DELETE", f"/faults/{made['id']}")) == 1
        assert await api.get("/faults") == []

    on_board(story)


def test_settings_zones_and_routes() -> None:
    async def story(api: Asking) -> None:
        shown = await api.get("/nodes/mx1/settings")
        assert any(one["key"] == "limits.message_size" for one in shown["settings"])
        changed = await api.send(
            "PATCH", "/nodes/mx1/settings", {"set": {"limits.message_size": "1000000"}}
        )
        assert [(s["key"], s["value"]) for s in changed["settings"]] == [
            ("limits.message_size", 1000000)
        ]
        report = await api.send(
            "POST", "/zones/records", {"record": "x.example.test. TXT hi", "action": "add"}
        )
        assert any(line.startswith("x.example.test.") for line in report["records"])
        dug = await api.get("/dig", name="x.example.test", type="txt", server="dns")
        assert (dug["rcode"], len(dug["answers"])) == ("NOERROR", 1)
        route = await api.get("/route", address=BOB)
        assert (route["status"], len(route["targets"])) == ("relay", 2)

    on_board(story)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("GET", "/nothing", None, 404, "there is nothing here"),
        ("DELETE", "/lab", None, 405, "DELETE is not for this path"),
        ("GET", "/messages/abc", None, 404, "no message is called 'abc'"),
        ("GET", "/messages?limit=x", None, 400, "Expected `int`"),
        ("GET", "/messages?limit=0", None, 400, "Expected `int` >= 1"),
        ("GET", "/messages?nme=x", None, 400, "unknown field `nme`"),
        ("GET", "/messages?query=a&query=b", None, 400, "query stands there twice"),
        ("POST", "/nodes/mx9/start", None, 404, "no node is called 'mx9'"),
        ("POST", "/nodes/mx1/explode", None, 400, "Invalid enum value 'explode'"),
        ("GET", "/queues/dns", None, 400, "dns is no MTA"),
        ("POST", "/send", {"to": []}, 400, "length >= 1"),
        ("POST", "/send", {"to": ["nobody"]}, 400, "is no mail address"),
        ("POST", "/send", {"to": [BOB], "headers": ["no field"]}, 400, "NAME: VALUE, not"),
        ("POST", "/send", {"to": [BOB], "via": "mx1"}, 404, "no client is called 'mx1'"),
        ("POST", "/send", ["x"], 400, "expected a JSON object"),
        ("POST", "/faults", {"kind": "refse", "host": "mx1"}, 404, "no fault is called 'refse'"),
        ("POST", "/faults", {"kind": "reply", "host": "mx1"}, 400, "is missing"),
        ("POST", "/faults", {"kind": "refuse", "host": "mx9"}, 404, "no node is called 'mx9'"),
        ("DELETE", "/faults/x", None, 404, "'x'"),
        ("POST", "/wait", {"condition": {"deliverd": "x"}}, 400, "unknown key"),
        ("POST", "/wait", {"condition": {"delivered": "x"}, "within": -1}, 400, ">= 0"),
        ("PATCH", "/nodes/mx1/settings", {"set": {"x": 1}}, 400, "no setting that can be"),
        ("PATCH", "/nodes/mx1/settings", {"node": "mx2", "set": {"x": 1}}, 400, "in the path"),
        ("PUT", "/zones/example.test", {"text": "nonsense"}, 400, ""),
        ("GET", "/trace?message=nothing-like-it", None, 404, ""),
        ("GET", "/judge?checks=nothing-lst", None, 404, "nothing-lst"),
    ],
)  # fmt: skip
def test_bad_requests_are_told_what_is_wrong(
    method: str, path: str, body: Any, status: int, told: str
) -> None:
    async def story(api: Asking) -> None:
        found, text = await api.status(method, path, body)
        assert (found, told in text) == (status, True), text

    on_board(story)


def test_while_the_lab_is_down_everything_says_so_and_it_is_found_again() -> None:
    async def story(api: Asking) -> None:
        api.is_up = False
        await api.board.feed.until(lambda: not api.board.is_up, 30)
        status, text = await api.status("GET", "/lab")
        assert (status, text) == (503, "the lab 'lab' is down")
        api.is_up = True
        assert await api.board.until_up(30)
        assert (await api.get("/lab"))["lab"] == "lab"

    on_board(story)


def test_every_operation_is_in_the_document_with_what_can_go_wrong() -> None:
    paths = openapi()["paths"]
    for op in OPERATIONS:
        entry = paths[PREFIX + op.path][op.method.lower()]
        assert set(entry["responses"]) == {"200", *ERRORS}
        named = {p["name"] for p in entry["parameters"] if p["in"] == "path"}
        assert named == set(op.in_path)
        assert entry["summary"]
    names = [op.name for op in OPERATIONS]
    assert len(names) == len(set(names))
