"""The class server over real HTTP: who gets where, what is kept, and who cannot harm whom."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mxlab.classroom import server as server_module
from mxlab.classroom.door import ADDRESSES, BURST, WrongTokens
from mxlab.classroom.porter import LARGEST
from mxlab.errors import EnvironmentProblem
from tests.support.classes import FakeClass, progress, served


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[FakeClass]:
    async with served(tmp_path) as found:
        yield found


def line(over: int, tries: int = 0) -> bytes:
    return msgspec.json.encode(progress(over, tries=tries))


async def first(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    for _ in range(count):
        yield await anext(lines)


async def register(room: FakeClass, seat: int) -> int:
    async with room.seat(seat) as own:
        reply = await own.post(f"/internal/seats/{seat}/register")
        assert reply.status_code == 200, reply.text
        number: int = reply.json()["registration"]
        return number


# --- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/join/{}", "/?token={}"])
async def test_a_token_becomes_a_cookie_that_opens_ones_own_seat(
    room: FakeClass, path: str
) -> None:
    async with room.client() as browser, room.seats[1].up(room.ports[1]):
        came = await browser.get(path.format(room.plan.seat(2).token))
        cookie = came.headers["set-cookie"]
        assert came.status_code == 200
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert room.plan.seat(2).token not in cookie + came.text
        assert (await browser.get("/api/me")).json()["seat"] == 2
        assert (await browser.get("/seat/2/api/v1/lab")).json()["seat"] == 2
        assert (await browser.get("/seat/1/api/v1/lab")).status_code == 403
        assert (await browser.get("/api/class")).status_code == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 401), ("/api/me", 401), ("/api/class", 401), ("/seat/1/", 401), ("/health", 200),
     ("/page/board.css", 200), ("/page/../server.py", 401), ("/page/nothing.js", 404)],
)  # fmt: skip
async def test_without_a_token_there_is_little_to_see(
    room: FakeClass, path: str, status: int
) -> None:
    async with room.client() as nobody:
        assert (await nobody.get(path)).status_code == status


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.test"}, {"origin": "http://evil.test"}, {"origin": "null"},
     {"host": "a@127.0.0.1"}, {"sec-fetch-site": "cross-site"},
     {"origin": "http://[bad"}, {"host": "127.0.0.1:8x"}],
)  # fmt: skip
async def test_a_page_of_elsewhere_is_refused(room: FakeClass, headers: dict[str, str]) -> None:
    async with room.teacher as teacher:
        assert (await teacher.get("/api/class", headers=headers)).status_code == 403
        assert (await teacher.get("/api/class")).status_code == 200


async def test_wrong_tokens_are_held_up_and_who_is_in_is_not(room: FakeClass) -> None:
    async with room.client() as browser, room.client() as guesser:
        await browser.get(f"/join/{room.plan.seat(1).token}")
        codes = [(await guesser.get(f"/join/guess{n}")).status_code for n in range(BURST + 3)]
        assert codes == [401] * BURST + [429] * 3
        late = await guesser.get(f"/join/{room.plan.seat(1).token}")
        assert late.status_code == 429  # no word on whether it is right
        assert int(late.headers["retry-after"]) >= 1
        assert (await browser.get("/api/me")).status_code == 200


def test_the_memory_of_wrong_tokens_is_bounded_and_forgives() -> None:
    wrong = WrongTokens()
    for number in range(ADDRESSES + 50):
        wrong.note(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(wrong) == ADDRESSES
    for _ in range(BURST):
        wrong.note("2001:db8::1", 0.0)
    assert wrong.wait("2001:db8::2", 0.0) > 0  # the same network
    assert wrong.wait("2001:db8:0:1::2", 0.0) == 0
    assert wrong.wait("2001:db8::1", 1000.0) == 0


@pytest.mark.parametrize("cookie", ["0.", "1.abc", "99.abc", "x", "\xb2.1", "0." + "0" * 64])
async def test_a_forged_cookie_is_none(room: FakeClass, cookie: str) -> None:
    name = f"mxlab_class_{room.plan.port}"
    async with room.client() as forger:
        field = f"{name}={cookie}".encode("latin-1")
        reply = await forger.get("/api/me", headers=[(b"cookie", field)])
        assert reply.status_code == 401


# --- progress -------------------------------------------------------------------------------------


async def test_progress_is_kept_and_a_seat_that_starts_anew_has_it(room: FakeClass) -> None:
    first = await register(room, 1)
    async with room.seat(1) as seat, room.teacher as teacher:
        path = "/internal/seats/1/progress"
        body = line(0) + b"\n" + line(2, tries=1) + b"\n"
        told = await seat.post(f"{path}?registration={first}", content=body)
        assert told.json() == {"kept": 2}
        again = (await seat.post("/internal/seats/1/register")).json()
        assert again["progress"]["current"] == "it-waits-and-waits"
        assert again["registration"] == first + 1
        assert again["seed"] == room.plan.seat(1).seed
        late = await seat.post(f"{path}?registration={first}", content=line(0))
        assert late.status_code == 409
        assert (await seat.get(path)).json() == json.loads(line(2, tries=1))
        tile = (await teacher.get("/api/class")).json()["tiles"][0]
        assert (tile["standing"]["over"], tile["standing"]["tries"]) == (2, 1)
        rows = (await teacher.get("/api/class/export.json")).json()
        assert {row["seat"] for row in rows} == {1}
        text = (await teacher.get("/api/class/export.csv")).text
        assert text.splitlines()[0].startswith("seat,exercise,")


async def test_what_was_told_twice_is_written_once(room: FakeClass) -> None:
    number = await register(room, 1)
    async with room.seat(1) as seat:
        for _ in range(3):
            await seat.post(f"/internal/seats/1/progress?registration={number}", content=line(1))
    kinds = [one.kind for one in room.server._store.everything()]
    assert kinds.count("progress") == 1


async def test_a_seat_cannot_speak_for_another(room: FakeClass) -> None:
    number = await register(room, 2)
    async with room.seat(1) as liar, room.pupil(2) as pupil:
        path = f"/internal/seats/2/progress?registration={number}"
        assert (await liar.post(path, content=line(2))).status_code == 401
        assert (await liar.get("/internal/seats/2/progress")).status_code == 401
        assert (await liar.post("/internal/seats/2/register")).status_code == 401
        assert (await liar.post("/internal/seats/9/register")).status_code == 401
        assert (await pupil.post(path, content=line(2))).status_code == 401
        assert (await liar.get("/api/class")).status_code == 401  # a secret is no token
    assert room.server.roll.desks[2].progress is None


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"\xff\xfe", 400), (b'{"version": "x"}', 400), (b"x" * (LARGEST + 1), 413),
     (b'{"exercises": {"a": {"file": "../../etc/passwd"}}}', 400)],
)  # fmt: skip
async def test_progress_that_makes_no_sense_is_refused_whole(
    room: FakeClass, body: bytes, status: int
) -> None:
    number = await register(room, 1)
    async with room.seat(1) as seat:
        path = f"/internal/seats/1/progress?registration={number}"
        reply = await seat.post(path, content=line(1) + b"\n" + body)
        assert reply.status_code == status, reply.text
        assert "error" in reply.json()
    assert room.server.roll.desks[1].progress is None


async def test_an_exercise_that_is_a_path_is_never_opened(room: FakeClass, tmp_path: Path) -> None:
    told = progress(1)
    told.exercises = {str(tmp_path): told.exercises["it-waits-and-waits"]}
    told.current = str(tmp_path)
    number = await register(room, 1)
    async with room.seat(1) as seat, room.teacher as teacher:
        path = f"/internal/seats/1/progress?registration={number}"
        assert (await seat.post(path, content=msgspec.json.encode(told))).status_code == 200
        tile = (await teacher.get("/api/class")).json()["tiles"][0]
        assert tile["standing"]["title"] == str(tmp_path)  # its name, and nothing of the file


async def test_a_server_that_starts_again_knows_what_it_knew(tmp_path: Path) -> None:
    async with served(tmp_path) as room:
        number = await register(room, 1)
        async with room.seat(1) as seat, room.pupil(2) as pupil, room.teacher as teacher:
            await seat.post(f"/internal/seats/1/progress?registration={number}", content=line(2))
            await pupil.post("/api/me/hand", json={"up": True})
            await teacher.post("/api/class/question", json={"text": "Who?", "choices": ["a", "b"]})
            asked = (await pupil.get("/api/me")).json()["question"]["number"]
            await pupil.post("/api/me/answer", json={"question": asked, "answer": "b"})
            before = (await teacher.get("/api/class")).json()
            browser = room.client()
            await browser.get(f"/join/{room.plan.seat(2).token}")
            cookies = browser.cookies
            await browser.aclose()
        plan = room.plan
    async with served(tmp_path, plan=plan) as room, room.teacher as teacher:
        after = (await teacher.get("/api/class")).json()
        for view in (before, after):
            view.pop("now")
            for tile in view["tiles"]:
                tile.pop("on_task")
                tile.pop("joined")
                tile.pop("away")
        assert after == before
        async with room.client() as browser:
            browser.cookies = httpx.Cookies(cookies)
            assert (await browser.get("/api/me")).json()["hand"] is True


async def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    async with served(tmp_path) as room:
        with pytest.raises(EnvironmentProblem, match="another class server"):
            server_module.ClassServer(room.plan, tmp_path)


# --- the teacher ----------------------------------------------------------------------------------


async def test_a_question_and_how_its_answers_are_distributed(room: FakeClass) -> None:
    async with room.teacher as teacher, room.pupil(1) as one, room.pupil(2) as two:
        await teacher.post("/api/class/question", json={"text": "Which host?", "choices": []})
        number = (await one.get("/api/me")).json()["question"]["number"]
        for pupil, text in ((one, "MX2"), (two, " mx2 "), (one, "mx1"), (one, "mx2")):
            await pupil.post("/api/me/answer", json={"question": number, "answer": text})
        view = (await teacher.get("/api/class")).json()
        assert ([share["count"] for share in view["shares"]], view["answers"]) == ([2], 2)
        assert (await teacher.delete("/api/class/question")).json()["open"] is False
        late = await one.post("/api/me/answer", json={"question": number, "answer": "mx3"})
        assert late.status_code == 400
        bad = await teacher.post("/api/class/question", json={"text": "?", "choices": ["a", "a"]})
        assert bad.status_code == 400


async def test_a_message_reaches_whom_it_is_for(room: FakeClass) -> None:
    async with room.teacher as teacher, room.pupil(1) as one, room.pupil(2) as two:
        await teacher.post("/api/class/message", json={"text": "to all"})
        await teacher.post("/api/class/message", json={"text": "to one", "seat": 1})
        assert len((await one.get("/api/me")).json()["messages"]) == 2
        assert len((await two.get("/api/me")).json()["messages"]) == 1
        wrong = await teacher.post("/api/class/message", json={"text": "x", "seat": 9})
        assert wrong.status_code == 404
        assert (await one.post("/api/class/message", json={"text": "x"})).status_code == 403


async def test_skip_passes_over_up_to_that_task(room: FakeClass) -> None:
    async with room.teacher as teacher:
        gone = await teacher.post("/api/class/seats/1/skip", json={"task": "predict"})
        assert (gone.status_code, gone.json()["error"]) == (503, "seat 1 does not answer")
        async with room.seats[0].up(room.ports[0]):
            await teacher.post("/api/class/seats/1/skip", json={"task": "predict"})
            assert room.seats[0].over == 2
            await teacher.post("/api/class/seats/1/skip", json={"task": "locate"})
            assert room.seats[0].over == 2
            none = await teacher.post("/api/class/seats/1/skip", json={"task": "forwards"})
            assert none.status_code == 404
    assert all(fields["authorization"] == f"Bearer {room.plan.seat(1).secret}"
               for _, _, fields in room.seats[0].heard)  # fmt: skip


async def test_the_instructors_view_is_told_as_it_happens(room: FakeClass) -> None:
    path, views = "/api/class/events", []
    async with room.pupil(3) as pupil, room.teacher as teacher, teacher.stream("GET", path) as said:
        async for text in said.aiter_lines():
            if not text.startswith("data:"):
                continue
            views.append(json.loads(text.removeprefix("data:"))["tiles"][2]["hand"])
            if views[-1] is not None:
                break
            await pupil.post("/api/me/hand", json={"up": True})
    assert views[0] is None
    assert len(views) == 2


# --- the way --------------------------------------------------------------------------------------


async def test_the_teacher_looks_and_does_not_touch(room: FakeClass) -> None:
    async with room.teacher as teacher, room.seats[0].up(room.ports[0]):
        assert (await teacher.get("/seat/1/api/v1/lab?x=1")).status_code == 200
        assert (await teacher.post("/seat/1/api/v1/send", json={})).status_code == 403
        assert (await teacher.delete("/seat/1/api/v1/messages")).status_code == 403
    assert [(method, path) for method, path, _ in room.seats[0].heard] == [
        ("GET", "/seat/1/api/v1/lab?x=1")
    ]


async def test_what_a_seat_sends_cannot_act_as_a_page_of_ours(room: FakeClass) -> None:
    async with room.teacher as teacher, room.seats[0].up(room.ports[0]):
        reply = await teacher.get("/seat/1/api/v1/wicked")
        assert reply.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert "set-cookie" not in reply.headers
        assert "clear-site-data" not in reply.headers
        page = await teacher.get("/seat/1/")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert (
            (await teacher.get("/seat/1/page/main.js"))
            .headers["content-type"]
            .startswith("text/javascript")
        )
    assert room.seats[0].heard == []  # the page's files are the server's own


async def test_nothing_of_the_browser_leaks_to_a_seat(room: FakeClass) -> None:
    async with room.client() as browser, room.seats[0].up(room.ports[0]):
        await browser.get(f"/join/{room.plan.seat(1).token}")
        await browser.post("/seat/1/api/v1/send", content=b"{}", headers={"x-own": "1"})
    _, _, fields = room.seats[0].heard[-1]
    assert "cookie" not in fields
    assert "x-own" not in fields
    assert fields["authorization"] == f"Bearer {room.plan.seat(1).secret}"


@pytest.mark.parametrize("seat", ["0", "4", "01", "1.0", "-1", "a", "999999999999", "²"])
async def test_a_seat_that_is_none_is_never_looked_up(room: FakeClass, seat: str) -> None:
    async with room.teacher as teacher:
        assert (await teacher.get(f"/seat/{seat}/api/v1/lab")).status_code in (403, 404)
    assert room.server.way._clients == {}


async def test_a_seat_that_is_gone_is_told_of_and_comes_back(room: FakeClass) -> None:
    async with room.pupil(1) as pupil:
        gone = await pupil.get("/seat/1/api/v1/lab")
        assert (gone.status_code, gone.headers["retry-after"]) == (503, "2")
        assert (await pupil.get("/api/me")).json()["away"] is True
        assert (
            await pupil.get("/seat/1/")
        ).status_code == 200  # the page is there, and tries again
        async with room.seats[0].up(room.ports[0]):
            assert (await pupil.get("/seat/1/api/v1/lab")).status_code == 200
            assert (await pupil.get("/api/me")).json()["away"] is False


async def test_events_come_through_as_they_happen(room: FakeClass) -> None:
    path, up = "/seat/1/api/v1/events", room.seats[0].up(room.ports[0])
    async with up, room.pupil(1) as pupil, pupil.stream("GET", path) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        lines = [text async for text in first(events.aiter_lines(), 2)]
        assert lines == ["id: 1", "data: first"]


async def test_a_body_that_is_too_large_for_a_seat_is_refused(
    room: FakeClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room.pupil(1) as pupil, room.seats[0].up(room.ports[0]):
        reply = await pupil.post("/seat/1/api/v1/send", content=b"x" * 12_000_001)
        assert reply.status_code == 413
        assert (await pupil.post("/api/me/hand", content=b"x" * (LARGEST + 1))).status_code == 413
    assert room.seats[0].heard == []


async def test_who_sends_slowly_is_not_waited_for(
    room: FakeClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mxlab.board.guard.SLOWEST", 0.2)
    port = int(room.root.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bearer = f"Authorization: Bearer {room.plan.seat(1).token}"
    head = f"POST /api/me/hand HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{bearer}\r\n"
    writer.write(f"{head}Content-Length: 50\r\n\r\n{{".encode())
    assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_a_terminal_is_led_to_ones_own_seat(room: FakeClass) -> None:
    async with room.seats[0].up(room.ports[0]):
        ws = room.root.replace("http", "ws") + "/seat/1/api/v1/terminal"
        own = {"authorization": f"Bearer {room.plan.seat(1).token}"}
        async with connect(ws, additional_headers=own, origin=room.root, proxy=None) as terminal:  # type: ignore[arg-type]
            await terminal.send("ls")
            assert await terminal.recv() == "seat 1: ls"
            await terminal.send("exit")
            await terminal.wait_closed()
            assert terminal.close_code == 1000


@pytest.mark.parametrize(
    ("who", "origin"),
    [("", "own"), ("teacher", "own"), ("other", "own"), ("pupil", "http://evil.test"),
     ("cookie", None)],
)  # fmt: skip
async def test_a_terminal_is_nobody_elses(room: FakeClass, who: str, origin: str | None) -> None:
    tokens = {"teacher": room.plan.teacher_token, "other": room.plan.seat(2).token,
              "pupil": room.plan.seat(1).token}  # fmt: skip
    headers = {"authorization": f"Bearer {tokens[who]}"} if who in tokens else {}
    if who == "cookie":
        async with room.client() as browser:
            await browser.get(f"/join/{room.plan.seat(1).token}")
            headers = {"cookie": "; ".join(f"{k}={v}" for k, v in browser.cookies.items())}
    async with room.seats[0].up(room.ports[0]):
        ws = room.root.replace("http", "ws") + "/seat/1/api/v1/terminal"
        from_where = room.root if origin == "own" else origin
        with pytest.raises(InvalidStatus) as refused:
            async with connect(ws, additional_headers=headers, origin=from_where, proxy=None):  # type: ignore[arg-type]
                pass
        assert refused.value.response.status_code == 403
