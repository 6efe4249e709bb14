"""dig and route: what DNS says, and what follows from it for mail."""

from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.completion import node_names
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import say, say_json, say_line
from mxlab.cli.running import attached, check_address, work
from mxlab.errors import (
    EXIT_ENVIRONMENT,
    UnknownName,
    UsageError,
)

if TYPE_CHECKING:
    from mxlab.backends.base import Lab

TYPES = (
    "A", "AAAA", "ANY", "CAA", "CERT", "CNAME", "DNSKEY", "DS", "HINFO", "MX", "NAPTR", "NS", "PTR",
    "SOA", "SPF", "SRV", "SSHFP", "TLSA", "TXT", "URI",
)  # fmt: skip

OPTIONS = ("tcp", "trace")


def register(app: typer.Typer) -> None:
    app.command()(dig)
    app.command()(route)


def dig(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[@NODE] NAME [TYPE] [+trace]",
            help="As dig takes them: @NODE asks that name server, +trace shows the way from the "
            "root, +tcp asks over TCP.",
        ),
    ],
    tcp: Annotated[bool, typer.Option("--tcp", help="Ask over TCP.")] = False,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Ask the lab's DNS server. Exit code 3 where it does not answer."""
    server, options, rest = asked_of(words)
    name, kind = question(rest)
    work(_dig(name, kind, tcp or "tcp" in options, server, "trace" in options, lab, json))


def asked_of(words: list[str]) -> tuple[str, set[str], list[str]]:
    """The server after `@`, "" for none, the options after `+`, and the other words. Raises
    UsageError."""
    servers = [word[1:] for word in words if word.startswith("@")]
    options = {word[1:].lower() for word in words if word.startswith("+")}
    for option in sorted(options - set(OPTIONS)):
        raise UnknownName("option of dig", f"+{option}", [f"+{one}" for one in OPTIONS])
    if len(servers) > 1 or servers == [""]:
        raise UsageError("name one server", "`mxlab dig @dns example.test MX`")
    if servers and "trace" in options:
        raise UsageError("+trace begins at the root, so no server is named", "leave out @NODE")
    return "".join(servers), options, [word for word in words if word[:1] not in ("@", "+")]


def question(words: list[str]) -> tuple[str, str]:
    """Name and type from dig's words. Raises UsageError."""
    types = [word.upper() for word in words if _is_type(word)]
    names = [word for word in words if not _is_type(word)]
    if len(names) == 2 and not types:
        raise UnknownName("record type", names[1].upper(), TYPES)
    if len(names) != 1 or len(types) > 1:
        raise UsageError("give one name, and at most one type", "`mxlab dig example.test MX`")
    return names[0], types[0] if types else "A"


def _is_type(word: str) -> bool:
    """Whether dig would take `word` for a type: a mnemonic, or TYPE1234 (RFC 3597 §5)."""
    upper = word.upper()
    return upper in TYPES or (upper.startswith("TYPE") and upper[4:].isdecimal())


async def _dig(
    name: str, kind: str, tcp: bool, server: str, trace: bool, lab_name: str, json: bool
) -> None:
    from mxlab.operate.nodes import node_called
    from mxlab_services.control.requests import Dig

    async with attached(lab_name) as lab:
        address = _address(lab, server) if server else ""
        request = Dig(name, kind, tcp, address, trace)
        answer = await node_called(lab, lab.topology.client).request(request)
    if json:
        say_json(answer)
    else:
        say(answer.text.rstrip("\n"))
    if answer.rcode == "TIMEOUT":
        raise typer.Exit(EXIT_ENVIRONMENT)


def _address(lab: "Lab", server: str) -> str:
    """The address of a node, or the address itself. Raises UnknownName."""
    from mxlab.operate.nodes import node_called

    known = {node: lab.nodes[node].config.address for node in lab.nodes}
    if server in known.values():
        return server
    return node_called(lab, server).config.address


def route(
    address: Annotated[str, typer.Argument(metavar="ADDRESS")],
    node: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="NODE", help="From this node (the client).", autocompletion=node_names
        ),
    ] = None,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Where a message to ADDRESS would go, and why."""
    check_address(address)
    work(_route(address, node, lab, json))


async def _route(address: str, node: str | None, lab_name: str, json: bool) -> None:
    from mxlab.operate.nodes import mtas
    from mxlab_services.control.requests import RouteRead

    async with attached(lab_name) as lab:
        start = mtas(lab, [lab.topology.client if node is None else node])[0]
        report = await start.request(RouteRead(address))
    if json:
        say_json(report)
        return
    say(f"{report.address} from {start.config.node}: {report.status}")
    for number, decision in enumerate(report.decisions, 1):
        say_line(f"{number:>3}. {decision}", hang=5)
    for target in report.targets:
        say(f"  -> {target}")
    if report.reply:
        say_line(f"  {report.reply}")
