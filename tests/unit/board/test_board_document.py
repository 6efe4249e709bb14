"""The API against its own document, by schemathesis: whatever is asked, there is no 5xx, and no
reply but those that the document has.

It is asked in simulated labs in which mail has been delivered; half of the names in what is asked
are of what is there.
"""

from datetime import timedelta
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mxlab.board.openapi import openapi
from tests.support.boards import Asking, on_board

LABS, CASES = 4, 5  # for each operation in each mode, and how often it is asked in a lab
BOB = "bob@example.test"
CHOICES = st.lists(st.integers(0, 9), min_size=5, max_size=5)
ENDLESS = "follow_events"  # whose reply never ends
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance, negative_data_rejection,
]  # fmt: skip
THERE: dict[str, list[Any]] = {  # what a lab has, by the name of what asks for it
    "node": ["mx1", "mx2", "client", "dns"],
    "host": ["mx1", "dns"],
    "server": ["dns", ""],
    "origin": ["example.test", "client.test"],
    "name": ["example.test", "mx1.example.test"],
    "address": [BOB],
    "mailbox": [BOB],
    "message": ["last", BOB],
    "kind": ["refuse", "reply", "kill"],
    "to": [[BOB]],
    "via": ["client"],
    "record": ["x.example.test. TXT hi"],
    "checks": ["nothing-lost"],
}
# Every request has the token: what happens without it is told by test_guard.
SCHEMA = schemathesis.openapi.from_dict(openapi() | {"security": []})
FOUND: list[Any] = list(SCHEMA.get_all_operations())
OPERATIONS = {one.ok().definition.raw["operationId"]: one.ok() for one in FOUND}


async def prepared(api: Asking) -> dict[str, list[Any]]:
    """What is there, once a message has been delivered."""
    await api.send("POST", "/send", {"to": [BOB], "batch": "one"})
    assert (await api.send("POST", "/wait", {"condition": {"delivered": "one"}}))["holds"]
    (one,) = (await api.get("/messages"))["messages"]
    return {**THERE, "id": [one["id"]], "condition": [{"delivered": "one"}]}


def with_names(case: Case[Any], there: dict[str, list[Any]], choices: list[int]) -> None:
    """Put some of what is there in the place of what was made up."""
    body = case.body if isinstance(case.body, dict) else {}
    for given_names in (case.path_parameters, case.query, body):
        for name in list(given_names or {}):
            values = there.get(name)
            number = choices[len(name) % len(choices)]
            if values and number % 2:
                given_names[name] = values[number % len(values)]


async def asked(api: Asking, case: Case[Any]) -> httpx.Response:
    """The reply to a case, sent byte for byte as schemathesis would send it."""
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://127.0.0.1:8025")).prepare()
    names = ("content-type", "accept")
    headers = {name: sent.headers[name] for name in names if name in sent.headers}
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    return await api.client.request(str(sent.method), str(sent.url), content=body, headers=headers)


def takes_something(name: str) -> bool:
    raw = OPERATIONS[name].definition.raw
    return bool(raw["parameters"] or "requestBody" in raw)


ASKED = [
    (name, mode)
    for name in sorted(OPERATIONS.keys() - {ENDLESS})
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or takes_something(name)
]


@pytest.mark.parametrize(("name", "mode"), ASKED, ids=str)
def test_no_reply_breaks_the_document(name: str, mode: GenerationMode) -> None:
    strategy = OPERATIONS[name].as_strategy(generation_mode=mode)

    @settings(
        max_examples=LABS, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(st.tuples(strategy, CHOICES), min_size=CASES, max_size=CASES))
    def ask(cases: list[tuple[Case[Any], list[int]]]) -> None:
        async def story(api: Asking) -> list[httpx.Response]:
            there = await prepared(api)
            for case, choices in cases:
                if mode is GenerationMode.POSITIVE:
                    with_names(case, there, choices)
            return [await asked(api, case) for case, _ in cases]

        for (case, _), reply in zip(cases, on_board(story), strict=True):
            refused = reply.status_code == 413  # which schemathesis does not count as a rejection
            case.validate_response(reply, checks=CHECKS[:-1] if refused else CHECKS)

    ask()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (500, b'{"error": "x", "hint": ""}', "Server error"),
        (418, b'{"error": "x", "hint": ""}', "Undocumented status code"),
        (200, b'{"lab_time": "noon", "scale": 1}', "violates schema"),
        (200, b"noon", "JSON deserialization error"),
    ],
)
def test_a_reply_that_breaks_it_is_found(status: int, body: bytes, told: str) -> None:
    operation = OPERATIONS["show_clock"]
    sent = httpx.Request("GET", "http://127.0.0.1:8025/api/v1/clock")
    headers = {"content-type": "application/json"}
    reply = httpx.Response(status, content=body, headers=headers, request=sent)
    reply.elapsed = timedelta()
    with pytest.raises(FailureGroup, match=told):
        operation.Case().validate_response(reply, checks=CHECKS)
