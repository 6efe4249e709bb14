"""Who may ask a board, and how much: other hosts, other origins, tokens, bodies."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from mxlab.board.guard import COOKIE, LARGEST, SLOWEST, Guard
from tests.support.boards import API, HOST, TOKEN, Asking, on_board

BEARER = {"authorization": f"Bearer {TOKEN}"}


def status_of(headers: dict[str, str], path: str = f"{API}/lab") -> tuple[int, httpx.Headers]:
    """Of a request with just these headers."""

    async def story(api: Asking) -> tuple[int, httpx.Headers]:
        api.client.headers.pop("authorization")
        reply = await api.client.get(path, headers=headers)
        return reply.status_code, reply.headers

    return on_board(story)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (BEARER, 200),
        ({"authorization": f"bearer  {TOKEN}"}, 200),
        ({"cookie": f"{COOKIE}={TOKEN}"}, 200),
        ({"cookie": f"other=1; {COOKIE}={TOKEN}"}, 200),
        ({}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"cookie": f"{COOKIE}="}, 401),
        ({"cookie": "=;;{{\x00"}, 401),
        (BEARER | {"host": "evil.test:8025"}, 403),
        (BEARER | {"host": "127.0.0.1"}, 403),
        (BEARER | {"host": "127.0.0.1:8025.evil.test"}, 403),
        (BEARER | {"origin": f"http://{HOST}"}, 200),
        (BEARER | {"origin": "http://evil.test"}, 403),
        (BEARER | {"origin": "null"}, 403),
        (BEARER | {"sec-fetch-site": "cross-site"}, 403),
        (BEARER | {"sec-fetch-site": "same-origin"}, 200),
    ],
)  # fmt: skip
def test_who_may_ask(headers: dict[str, str], status: int) -> None:
    found, replied = status_of(headers)
    assert found == status
    assert replied["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in replied["content-security-policy"]
    assert (found == 401) == ("www-authenticate" in replied)


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address() -> None:
    status, headers = status_of({}, f"/?token={TOKEN}")
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]


def test_the_token_leads_to_no_other_host() -> None:
    status, headers = status_of({}, f"//evil.test/?token={TOKEN}")
    assert (status, headers["location"]) == (303, "/")


def test_a_wrong_token_in_the_address_is_none() -> None:
    assert status_of({}, "/?token=wrong")[0] == 401


def raw(story: Callable[[Asking], Awaitable[int]]) -> int:
    return on_board(story)


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole() -> None:
    async def story(api: Asking) -> int:
        sent = 0

        async def body() -> object:
            nonlocal sent
            for _ in range(10 * LARGEST // 100_000):
                sent += 100_000
                yield b"x" * 100_000

        reply = await api.client.post(f"{API}/send", content=body())  # type: ignore[arg-type]
        assert sent <= LARGEST + 200_000
        return reply.status_code

    assert raw(story) == 413


def test_a_body_that_does_not_come_is_not_waited_for_without_end() -> None:
    async def story(api: Asking) -> int:
        async def body() -> object:
            yield b"{"
            await asyncio.sleep(10 * SLOWEST)
            yield b"}"

        reply = await api.client.post(f"{API}/send", content=body())  # type: ignore[arg-type]
        return reply.status_code

    assert raw(story) == 408


@pytest.mark.parametrize("prefix", ["", "/seat/7"])
def test_below_a_path_of_a_proxy_it_is_the_same_whether_the_path_is_taken_off(prefix: str) -> None:
    async def story(api: Asking) -> None:
        assert (await api.client.get(f"{prefix}{API}/lab")).status_code == 200
        page = await api.client.get(f"{prefix}/")
        assert 'src="page/main.js"' in page.text
        assert (await api.client.get(f"{prefix}/page/main.js")).status_code == 200
        shown = await api.client.get(f"{prefix}/?token={TOKEN}")
        assert (shown.status_code, shown.headers["location"]) == (303, "/seat/7/")
        assert "Path=/seat/7/" in shown.headers["set-cookie"]
        document = await api.client.get(f"{prefix}{API}/openapi.json")
        assert document.json()["servers"] == [{"url": "/seat/7"}]
        assert (await api.client.get(f"/seat/70{API}/lab")).status_code == 404

    on_board(story, base="/seat/7")


def test_a_path_without_its_last_slash_is_led_to_the_page() -> None:
    async def story(api: Asking) -> None:
        led = await api.client.get("/seat/7")
        assert (led.status_code, led.headers["location"]) == (303, "/seat/7/")
        api.client.headers.pop("authorization")
        assert (await api.client.get("/seat/7/")).status_code == 401

    on_board(story, base="/seat/7")


@pytest.mark.parametrize(
    ("headers", "opened"),
    [
        ({"origin": f"http://{HOST}", "cookie": f"{COOKIE}={TOKEN}"}, True),
        (BEARER, True),
        (BEARER | {"origin": "https://class.test"}, True),
        ({"cookie": f"{COOKIE}={TOKEN}"}, False),
        ({"origin": "http://evil.test", "cookie": f"{COOKIE}={TOKEN}"}, False),
        ({"origin": "null", "cookie": f"{COOKIE}={TOKEN}"}, False),
        ({"origin": "http://[", "cookie": f"{COOKIE}={TOKEN}"}, False),
        ({"origin": f"http://{HOST}"}, False),
        ({"origin": f"http://{HOST}", "cookie": f"{COOKIE}={TOKEN}x"}, False),
        ({"origin": f"http://{HOST}", "cookie": f"{COOKIE}={TOKEN}", "host": "evil.test"}, False),
        (BEARER | {"sec-fetch-site": "cross-site"}, False),
    ],
)
def test_who_may_open_a_web_socket(headers: dict[str, str], opened: bool) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        seen.append(message["type"])

    guard = Guard(app, TOKEN, [HOST, "class.test"])
    given = {"host": HOST} | headers
    pairs = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "websocket", "path": "/x", "query_string": b"", "headers": pairs}
    asyncio.run(guard(scope, receive, send))
    assert seen == (["/x"] if opened else ["websocket.close"])
