"""conform: the rules of mail, tried as a black box."""

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxlab.cli.completion import software_names
from mxlab.cli.options import AsJson, BackendName
from mxlab.cli.output import Waiting, complain, say, say_json, say_line, table
from mxlab.cli.running import check_address, choose_backend, work
from mxlab.errors import (
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_OK,
    LabError,
    UnknownName,
    UsageError,
)

if TYPE_CHECKING:
    from mxlab.conform.place import Surroundings
    from mxlab.conform.rule import ConformRule
    from mxlab.conform.server import TestedServer
    from mxlab.conform.trying import ServerResults


LABS = 2  # at a time


def register(app: typer.Typer) -> None:
    app.command()(conform)


def conform(
    software: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="SOFTWARE",
            help="Whose mail server: mxlab (default), postfix, exim, opensmtpd. Repeatable.",
            autocompletion=software_names,
        ),
    ] = None,
    smtp: Annotated[
        str | None,
        typer.Option("--smtp", metavar="HOST:PORT", help="A server of yours, on loopback."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="ADDRESS", help="A recipient that it takes.")
    ] = None,
    unknown: Annotated[
        str | None,
        typer.Option("--unknown", metavar="ADDRESS", help="One that is not there, at its domain."),
    ] = None,
    sender: Annotated[
        str, typer.Option("--from", metavar="ADDRESS", help="Who sends (alice@client.test).")
    ] = "alice@client.test",
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the server in tables.")
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option("--rule", metavar="ID", help="Try these rules only.")
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Show what an earlier --json wrote, too."),
    ] = None,
    backend: BackendName = "auto",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a page in Markdown.")] = False,
    rules: Annotated[bool, typer.Option("--list", help="Tell the rules, and try none.")] = False,
    json: AsJson = False,
) -> None:
    """Try the rules of mail on a server, as a black box, and tell which it keeps.

    In a small lab of its own each software takes mail from a scripted client and sends it on to
    scripted servers. With --smtp mail is sent to a server that runs on this machine, on a loopback
    address. Each rule comes to: kept, broken, differs (the standard permits it), or cannot be seen.
    Exit code 1 where a rule is broken, 4 where nothing could be seen, 3 where no server is there.
    """
    from mxlab.conform.rules import SENDING, TAKING

    for one in rule or ():
        if one not in TAKING and one not in SENDING:
            raise UnknownName("rule", one, (*TAKING, *SENDING))
    taking = [one for one in TAKING.values() if not rule or one.id in rule]
    sending = [one for one in SENDING.values() if not rule or one.id in rule]
    if rules:
        _list([*taking, *sending], json)
        return
    problems: list[LabError] = []
    earlier = [one for path in beside or () for one in _read(path)]
    if smtp is None:
        _check_alone({"--to": to, "--unknown": unknown, "--name": name})
        wanted = list(dict.fromkeys(software or ["mxlab"]))
        found = work(_in_labs(wanted, backend, taking, sending, problems))
    else:
        if software:
            raise UsageError("--smtp or --with: one of them", "--beside puts both into one table")
        if rule and not taking:
            raise UsageError("what a server sends cannot be seen with --smtp", "leave --smtp out")
        server = _server(smtp, to, unknown, sender)
        found = [work(_tried(taking, server, name or smtp))]
    _show([*found, *earlier], markdown=markdown, json=json)
    code = _exit_code(found)
    raise typer.Exit(problems[0].exit_code if problems and code != EXIT_FAILED else code)


def _check_alone(options: dict[str, str | None]) -> None:
    """Raises UsageError for what is said of a server of one's own where there is none."""
    for option, given in options.items():
        if given is not None:
            raise UsageError(f"{option} is about the server of --smtp, and there is none")


async def _in_labs(
    software: list[str],
    backend: str,
    taking: "list[ConformRule[TestedServer]]",
    sending: "list[ConformRule[Surroundings]]",
    problems: "list[LabError]",
) -> "list[ServerResults]":
    """Two labs at a time, as most of what they do is to wait; more would slow each other down. Of
    several, one that cannot be had is told, and is among the `problems` then; the others are
    tried."""
    import asyncio

    from mxlab import __version__
    from mxlab.conform.inlab import try_software
    from mxlab.model.software import SOFTWARE

    for one in software:
        if one not in SOFTWARE:
            raise UnknownName("software", one, SOFTWARE)
    places = asyncio.Semaphore(LABS)
    with Waiting() as progress:
        world = await choose_backend(backend, progress)
        if len(software) == 1:
            return [await try_software(software[0], world, taking, sending, progress, __version__)]

        async def tried(one: str) -> "ServerResults | None":
            def of_one(text: str) -> None:
                progress(f"{one}: {text}")

            async with places:
                try:
                    return await try_software(one, world, taking, sending, of_one, __version__)
                except LabError as error:
                    problems.append(error)
                    complain(error)
                    return None

        found = await asyncio.gather(*map(tried, software))
        return [one for one in found if one is not None]


async def _tried(
    rules: "list[ConformRule[TestedServer]]", server: "TestedServer", name: str
) -> "ServerResults":
    import time

    from mxlab.conform.trying import ServerResults, try_server

    began = time.monotonic()
    with Waiting() as progress:
        _, results = await try_server(rules, server, progress)
    return ServerResults(name, "", round(time.monotonic() - began, 1), results)


def _server(smtp: str, to: str | None, unknown: str | None, sender: str) -> "TestedServer":
    """The server that is meant. Raises UsageError for one that is not on loopback."""
    from mxlab.conform.server import TestedServer

    host, port = _place(smtp)
    if to is None:
        raise UsageError("which recipient does it take?", "--to bob@example.test names one")
    for address in (to, sender, *([unknown] if unknown is not None else [])):
        check_address(address)
    return TestedServer(host, port, to, unknown, sender, address=host)


def _place(smtp: str) -> tuple[str, int]:
    """Host and port. Raises UsageError."""
    given, _, port = smtp.rpartition(":")
    host = given.removeprefix("[").removesuffix("]")
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536 or not host:
        raise UsageError(f"--smtp: {smtp!r} is no HOST:PORT", "127.0.0.1:25, say, or [::1]:25")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"--smtp: {host!r} is no loopback address, and only what runs on this machine is tried",
            "127.0.0.1, ::1 or localhost; others' servers are not ours to try things on",
        )
    return host, int(port)


def _read(path: Path) -> "list[ServerResults]":
    """What an earlier run wrote. Raises UsageError."""
    import msgspec

    from mxlab.conform.trying import ServerResults

    try:
        return msgspec.json.decode(path.read_bytes(), type=list[ServerResults])
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path} is not what `mxlab conform --json` writes: {error}") from error


def _show(servers: "list[ServerResults]", *, markdown: bool, json: bool) -> None:
    from mxlab.conform import table as page
    from mxlab.conform.rule import KINDS

    if json:
        say_json(servers)
        return
    if markdown:
        say(page.markdown(servers))
        return
    if len(servers) == 1:
        rows = [[one.id, KINDS[one.result], one.found] for one in servers[0].rules]
        table(["RULE", "RESULT", "WHAT WAS SEEN"], rows)
    else:
        found = [{one.id: KINDS[one.result] for one in server.rules} for server in servers]
        rows = [[rule, *(own.get(rule, "") for own in found)] for rule in page.all_rules(servers)]
        table(["RULE", *(page.named(server).upper() for server in servers)], rows)
    say()
    for server in servers:
        say_line(f"{page.named(server)}: {page.counts(server)} ({server.seconds:.0f} s)")


def _list(rules: "list[ConformRule[Any]]", json: bool) -> None:
    told = [{"id": r.id, "source": r.source, "tried": r.tried, "side": r.side} for r in rules]
    if json:
        say_json(told)
        return
    table(["RULE", "SOURCE", "WHAT IS TRIED"], [[r.id, r.source, r.tried] for r in rules])


def _exit_code(servers: "list[ServerResults]") -> int:
    results = {one.result for server in servers for one in server.rules}
    if "broken" in results:
        return EXIT_FAILED
    return EXIT_OK if results & {"kept", "differs"} else EXIT_INCONCLUSIVE
