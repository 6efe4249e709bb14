"""Other people's mail servers in containers: the outage with each in each part, and the commands on
a node that runs one."""

import importlib.util
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from mxlab.api import build as api
from mxlab.api.running_lab import RunningLab
from mxlab.api.testing import LabDesk
from mxlab.backends.docker import DockerBackend
from mxlab.backends.docker.products import MAIL_SERVERS
from mxlab.cli import app
from mxlab.errors import EXIT_ENVIRONMENT
from mxlab.model.topology import Topology
from mxlab.plan.software import with_software
from mxlab_services import events

PRODUCTS = [
    product.name
    for product in MAIL_SERVERS
    if importlib.util.find_spec(f"mxlab_services.products.{product.name}")
]
TOOL = {
    "postfix": ("postqueue", "-p"),
    "exim": ("exim4", "-bp"),
    "opensmtpd": ("smtpctl", "show", "stats"),
}

pytestmark = [pytest.mark.docker, pytest.mark.long]


def run(state: Path, *words: str, code: int = 0) -> str:
    result = CliRunner(env={"MXLAB_STATE_DIR": str(state)}).invoke(app, list(words))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stdout


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    name = f"t-{secrets.token_hex(4)}"
    yield name
    run(tmp_path, "down", name)


@pytest.mark.parametrize("host", ["mx1", "mx2", "client"])
@pytest.mark.parametrize("product", PRODUCTS)
def test_the_outage_passes_with_each_product_in_each_part(
    product: str, host: str, tmp_path: Path
) -> None:
    words = ("primary-outage", "--backend", "docker", "--with", f"{host}={product}", "--json")
    result = msgspec.json.decode(run(tmp_path, "run", *words))
    assert result["verdict"] == "pass"
    assert f"--with {host}={product}" in result["replay"]


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_node_that_runs_a_product_is_a_node(product: str, lab: str, tmp_path: Path) -> None:
    words = ("up", "--backend", "docker", "--lab", lab, "--with", f"mx2={product}", "--json")
    shown = msgspec.json.decode(run(tmp_path, *words))
    (mx2,) = (node for node in shown["nodes"] if node["node"] == "mx2")
    name, _, version = mx2["software"].partition(" ")
    assert (name, version[:1].isdigit()) == (product, True)
    for verb, state in (("pause", "paused"), ("resume", "running"), ("kill", "stopped")):
        assert f"mx2 is {state}" in run(tmp_path, verb, "mx2", "--lab", lab)
    assert "cannot be asked" not in run(tmp_path, "start", "mx2", "--lab", lab)
    run(tmp_path, "kill", "mx1", "--lab", lab)
    run(tmp_path, "send", "--to", "bob@example.test", "--lab", lab)
    run(tmp_path, "stop", "mx2", "--lab", lab)
    run(tmp_path, "start", "mx2", "--lab", lab)
    run(tmp_path, "start", "mx1", "--lab", lab)
    run(tmp_path, "exec", "--lab", lab, "mx2", *TOOL[product])
    removed = run(tmp_path, "down", lab)
    assert "-mx2\n" in removed
    assert f"Nothing of the lab '{lab}' is left." in removed


def test_up_refuses_a_story_that_a_product_cannot_play_before_anything_starts(
    lab: str, tmp_path: Path
) -> None:
    words = ("up", "--backend", "docker", "--lab", lab, "--scenario", "mailbox-full")
    result = CliRunner(env={"MXLAB_STATE_DIR": str(tmp_path)}).invoke(
        app, [*words, "--with", "mx1=postfix"]
    )
    assert result.exit_code == EXIT_ENVIRONMENT
    assert "Postfix on mx1 cannot have mailbox-full" in result.output
    assert "starting" not in result.output


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_published_backup_knows_itself_among_the_exchanges(product: str) -> None:
    """An engine's own name server would have an address of the network for publishing for it."""
    topology = with_software(Topology(), {"mx2": product})
    running = RunningLab(DockerBackend(), f"known-{secrets.token_hex(4)}", topology)
    running.start()
    try:
        desk = LabDesk(running)
        assert desk.smtp_of("mx2").host == "127.0.0.1"
        with desk.fault("kill", "mx1"):
            batch = desk.send()
            desk.eventually(api.deferred(batch), within="1m")
        desk.eventually(api.delivered(batch), within="2m")
        hosts = {
            event.body.host.partition(".")[0]
            for event in running.watch.trace.by_node["mx2"]
            if isinstance(event.body, events.Tried)
        }
        assert hosts == {"mx1"}
        desk.close()
    finally:
        running.stop()
