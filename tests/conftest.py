"""What every test may rely on: the engine and the images behind the `docker` marker."""

import asyncio
import contextlib
import fcntl
import os
import signal
import ssl
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mxlab.backends.docker import image as images
from mxlab.backends.docker import image_store
from mxlab.backends.docker.products import DOVECOT, ensure_product
from mxlab.errors import EnvironmentProblem, NoImage


def pytest_configure(config: pytest.Config) -> None:
    """No example fails for the speed of the machine. A suite in the background of a script ignores
    SIGINT; those that it starts must not."""
    settings.register_profile(
        "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any machine")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Folders whose tests are the same on every machine, simulated or without a world at all: a
# newcomer's need not run them in CI.
ROOMS = [
    "audit", "chaos", "checks", "classroom", "compare", "docs", "exercise", "history", "learn",
    "model", "operate", "picture", "plan", "queue", "report", "runner", "scenario", "submit",
    "whatif",
]  # fmt: skip
SIMULATED = (
    *("sabotage", "rules", "badconfigs", "chaos_planted", "dialogs"),
    *(f"unit/{room}" for room in ROOMS),
)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what is the same on every machine."""
    folder = item.path.parent.relative_to(Path(__file__).parent).as_posix()
    if folder in SIMULATED:
        item.add_marker("simulated")


@pytest.hookimpl(trylast=True)  # after -m and -k: an image is made only for tests that will run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip Docker tests where containers cannot be had, unless MXLAB_REQUIRE_DOCKER is set."""
    wanted = [item for item in items if item.get_closest_marker("docker")]
    if not wanted or config.option.collectonly:
        return
    problem = _docker_problem(config)
    if problem and not os.environ.get("MXLAB_REQUIRE_DOCKER"):
        for item in wanted:
            item.add_marker(pytest.mark.skip(reason=f"no containers here: {problem}"))


def _docker_problem(config: pytest.Config) -> str:
    """Why containers cannot be had here, or an empty string.

    Of several workers one looks, and makes the image if need be; the others wait for its word.
    """
    if not hasattr(config, "workerinput"):
        return asyncio.run(_prepare())
    common = Path(config.getoption("basetemp")).parent  # each worker's own folder is below it
    with (common / "containers").open("a+") as word:
        fcntl.flock(word, fcntl.LOCK_EX)
        word.seek(0)
        told = word.read() or f"problem: {asyncio.run(_prepare())}"
        word.truncate(0)
        word.write(told)
        word.flush()
        return told.removeprefix("problem: ")


async def _prepare() -> str:
    try:
        async with image_store() as store:
            await images.ensure_image(store, lambda _: None)
            with contextlib.suppress(NoImage):  # those that need it tell why there is none
                await ensure_product(store, lambda _: None, DOVECOT)
    except EnvironmentProblem as error:
        return str(error)
    return ""


@pytest.fixture
def lab_tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's TLS contexts, certified by a lab's own CA for mx1.example.test."""
    from mxlab.plan.tls import Authority

    issued = Authority("test").issue(["mx1.example.test", "b.test"], "10.0.0.2")
    chain = tmp_path / "chain.pem"
    chain.write_text(issued.certificate + issued.key)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(chain)
    return server, ssl.create_default_context(cadata=issued.ca)
