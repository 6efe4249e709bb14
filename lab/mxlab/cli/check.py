"""doctor: what works on this machine."""

import typer

from mxlab.cli.options import AsJson, BackendName
from mxlab.cli.output import Waiting, say, say_json
from mxlab.cli.running import BACKENDS, work
from mxlab.errors import EXIT_ENVIRONMENT, EXIT_OK, UnknownName

MARKS = {"ok": "ok  ", "warning": "note", "problem": "NO  "}


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(backend: BackendName = "auto", json: AsJson = False) -> None:
    """Probe what works here, and say what to do about the rest.

    Exit code 0 where a lab can be brought up (in the world asked for), else 3.
    """
    if backend not in ("auto", *BACKENDS):
        raise UnknownName("backend", backend, ("auto", *BACKENDS))
    raise typer.Exit(work(_doctor(backend, json)))


async def _doctor(backend: str, json: bool) -> int:
    from mxlab.doctor import examine, works

    with Waiting() as progress:
        progress("probing")
        checks = await examine()
    worlds = {"docker": works(checks, "docker"), "process": works(checks, "process")}
    if json:
        say_json({"checks": checks, **worlds})
    else:
        for check in checks:
            say(f"{MARKS[check.result]}  {check.name}: {check.found}")
            if check.hint and check.result != "ok":
                say(f"      -> {check.hint}")
        for world, good in worlds.items():
            say(
                f"{MARKS['ok' if good else 'problem']}  `--backend {world}` "
                f"{'works' if good else 'does not work'} here"
            )
    good = any(worlds.values()) if backend == "auto" else worlds[backend]
    return EXIT_OK if good else EXIT_ENVIRONMENT
