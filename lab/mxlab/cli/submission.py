"""How a program reaches a lab's submission server: settings for people, `mxlab ca`, and what `mxlab
send` asks of the lab's own program."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from mxlab.cli.options import DEFAULT_LAB, LabName
from mxlab.cli.output import say
from mxlab.cli.running import attached, work
from mxlab.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab.model.submitting import Submitting
    from mxlab.model.topology import Topology
    from mxlab_services.control.requests import HandIn

SERVICES = {"submission": "STARTTLS", "submissions": "SSL/TLS"}


def register(app: typer.Typer) -> None:
    app.command()(ca)


def ca(lab: LabName = DEFAULT_LAB) -> None:
    """Print the certificate of the lab's own authority (PEM), for programs that are to trust it."""
    work(_ca(lab))


async def _ca(name: str) -> None:
    async with attached(name) as lab:
        text = _authority(lab)
    say(text.rstrip("\n"))


def _authority(lab: "Lab") -> str:
    """Raises UsageError where the lab has none."""
    from mxlab_services.config import MtaConfig

    for node in lab.nodes.values():
        config = node.config
        if isinstance(config, MtaConfig) and (mine := config.submission):
            return mine.tls.ca
        if isinstance(config, MtaConfig) and config.tls:
            return config.tls.ca
    raise UsageError(
        f"the lab {lab.name!r} has no authority of its own",
        "a topology with `tls: true` or with `submission` has one",
    )


def submission_lines(lab: Mapping[str, Any]) -> Iterator[str]:
    """Lines for people, of a lab as `mxlab status --json` has it; none where nobody may submit. No
    password is among them: they are in the topology."""
    other = "" if lab["lab"] == DEFAULT_LAB else f" --lab {lab['lab']}"
    for node in lab["nodes"]:
        if not (users := node.get("submits")):
            continue
        yield f"A program hands in mail at {node['node']} with TLS, as one of: {', '.join(users)}"
        places = {one: node.get("published", {}).get(one) for one in SERVICES}
        for service, words in SERVICES.items():
            if place := places[service]:
                host, _, port = place.rpartition(":")
                yield f"  {service}: host {host}, port {port}, {words}"
        if not any(places.values()):
            yield "  not reachable from here: `mxlab up --publish` opens the ports on 127.0.0.1"
        yield f"  its certificate is by the lab's own authority: mxlab ca{other} > ca.pem"


def asked_program(
    user: str | None,
    password: str | None,
    mechanism: str | None,
    port: int | None,
    tls: bool,
    tries: int,
) -> "Submitting | None":
    """How a program is to hand mail in, as options of `mxlab send` say it; None where none does.
    Raises UsageError."""
    from mxlab.model.submitting import Submitting
    from mxlab.typed import misfit

    if (user, password, mechanism, port, tls, tries) == (None, None, None, None, True, 1):
        return None
    made = Submitting(
        user,
        password,
        None if mechanism is None else mechanism.upper(),  # type: ignore[arg-type]
        587 if port is None else port,  # type: ignore[arg-type]
        tls,
        tries,
    )
    if wrong := misfit(made):
        key, text, hint = wrong
        raise UsageError(f"{_OPTIONS.get(key, key)}: {text}", hint)
    if text := made.misfit():
        raise UsageError("--auth-password and --auth are a user's", "name one by --auth-user")
    return made


_OPTIONS = {"mechanism": "--auth", "port": "--port", "tries": "--tries", "user": "--auth-user"}


def handing_in(topology: "Topology", client: str, how: "Submitting") -> "HandIn":
    """What the client is asked for. Raises UsageError where nobody can hand in mail there, and
    UnknownName for a user whose password is not known."""
    from mxlab.runner.sending import hand_in

    if topology.submission is None or client != topology.client:
        raise UsageError(
            f"no program can hand in mail at {client}",
            "it is the first client's, where the topology has `submission`",
        )
    if how.user is not None and how.password is None and how.user not in topology.submission.users:
        raise UnknownName("user", how.user, topology.submission.users)
    return hand_in(how, topology)
