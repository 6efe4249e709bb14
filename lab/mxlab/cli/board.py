"""board: a lab over HTTP, for people and for programs in any language."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import note, say, say_json
from mxlab.cli.running import attached, work
from mxlab.errors import UsageError

if TYPE_CHECKING:
    from mxlab.board.serve import Served

PORT = 8025
GIVES_WAY = 5  # levels of niceness
LOOPBACK = "127.0.0.1"


def register(app: typer.Typer) -> None:
    app.command()(board)


def board(
    lab: LabName = DEFAULT_LAB,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Where (8025; 0: any).")
    ] = PORT,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Of this machine (127.0.0.1).")
    ] = LOOPBACK,
    token: Annotated[
        str,
        typer.Option(envvar="MXLAB_TOKEN", metavar="WORD", help="Who knows it may ask (random)."),
    ] = "",
    openapi: Annotated[
        bool, typer.Option("--openapi", help="Print the API's OpenAPI document.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/api.md.")] = False,
    json: AsJson = False,
) -> None:
    """Serve a lab over HTTP until Ctrl-C: an API, events as they come, figures for Prometheus.

    The lab may come up later, go down, and come up again. For example: mxlab board --port 0 --json;
    curl -H "Authorization: Bearer TOKEN" http://127.0.0.1:8025/api/v1/lab.
    """
    if openapi or markdown:
        _documents(openapi, markdown)
        return
    if token and (len(token) < 8 or not token.isascii() or not token.isprintable()):
        raise UsageError("--token: at least eight letters, digits or signs", "or leave it out")
    work(_serve(lab, port, address, token, json))


def _documents(openapi: bool, markdown: bool) -> None:
    from mxlab.board.openapi import openapi as document
    from mxlab.board.openapi import page

    if openapi and markdown:
        raise UsageError("--openapi and --markdown are two documents", "give one of them")
    if markdown:
        say(page().rstrip("\n"))
    else:
        say_json(document())


async def _serve(name: str, port: int, address: str, token: str, json: bool) -> None:
    import asyncio

    from mxlab.board.board import Board
    from mxlab.board.serve import listen, serving

    listener = listen(address, port)
    os.nice(GIVES_WAY)  # to the lab, on a machine that has more to do than it can
    async with serving(Board(name, lambda: attached(name)), listener, token) as served:
        _tell(served, name, json)
        await asyncio.Event().wait()


def _tell(served: "Served", lab: str, json: bool) -> None:
    if json:
        say_json({"lab": lab, "url": served.root, "token": served.token})
        return
    say(f"The lab {lab!r} is served at {served.root}/api/v1 until Ctrl-C.")
    say(f"In a browser: {served.url}")
    say(f"For programs: Authorization: Bearer {served.token}")
    if served.address not in (LOOPBACK, "::1"):
        note("mxlab: whoever reaches this address and knows the token can break the lab")
