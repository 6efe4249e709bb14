"""The command line on a lab of containers: what differs from local processes."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from mxlab.cli import app
from tests.support.programs import needs

pytestmark = pytest.mark.docker


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


def test_a_lab_of_containers_from_up_to_down(lab: str, tmp_path: Path) -> None:
    shown = msgspec.json.decode(
        run(tmp_path, "up", "--backend", "auto", "--lab", lab, "--publish", "--json")
    )
    assert shown["backend"] == "docker"
    (dns,) = (node for node in shown["nodes"] if node["node"] == "dns")
    assert dns["published"]["dns"].startswith("127.0.0.1:")
    run(tmp_path, "up", "--backend", "docker", "--lab", lab, code=3)
    run(tmp_path, "send", "--to", "bob@example.test", "--wait", "--lab", lab)
    assert "delivered to the mailbox of bob@example.test" in run(
        tmp_path, "trace", "last", "--lab", lab
    )
    run(tmp_path, "kill", "mx1", "--lab", lab)
    (listed,) = msgspec.json.decode(run(tmp_path, "status", "--lab", lab, "--json"))
    assert {n["node"]: n["state"] for n in listed["nodes"]}["mx1"] == "stopped"
    removed = run(tmp_path, "down", lab)
    assert f"removed container mxlab-{lab}-mx1" in removed
    assert f"Nothing of the lab '{lab}' is left." in removed
    assert "Nothing was there" in run(tmp_path, "down", lab)


def test_a_lab_of_ipv6_alone_is_found_again_by_any_process(lab: str, tmp_path: Path) -> None:
    shape = tmp_path / "six.yaml"
    shape.write_text("ip: [6]\n")
    run(tmp_path, "up", "--backend", "docker", "--topology", str(shape), "--lab", lab)
    assert "2001:db8:" in run(tmp_path, "status", "--lab", lab)
    run(tmp_path, "send", "--to", "bob@example.test", "--wait", "--lab", lab)


def test_a_mail_programs_server_beside_the_primary(lab: str, tmp_path: Path) -> None:
    told = run(tmp_path, "up", "--backend", "docker", "--lab", lab, "--imap", "--publish")
    assert "bob@example.test (or whoever has mail), password mxlab" in told
    assert "mutt -n" in told
    assert "starting up for imap, pop3" in run(tmp_path, "logs", "imap", "--lab", lab)
    run(tmp_path, "logs", "imap", "mx1", "--lab", lab, code=2)
    assert run(tmp_path, "pause", "imap", "--lab", lab) == "imap is paused\n"
    run(tmp_path, "start", "imap", "--lab", lab, code=3)
    run(tmp_path, "resume", "imap", "--lab", lab)
    assert run(tmp_path, "kill", "imap", "--lab", lab) == "imap is stopped\n"
    (listed,) = msgspec.json.decode(run(tmp_path, "status", "--lab", lab, "--json"))
    (server,) = listed["imap"]
    assert (server["state"], server["for"]) == ("stopped", "mx1")
    assert run(tmp_path, "start", "imap", "--lab", lab) == "imap is running\n"
    assert f"removed container mxlab-{lab}-imap" in run(tmp_path, "down", lab)


@needs("docker")
def test_a_command_runs_beside_the_primary(lab: str, tmp_path: Path) -> None:
    run(tmp_path, "up", "--backend", "docker", "--lab", lab, "--imap")
    assert run(tmp_path, "exec", "--lab", lab, "imap", "true") == ""


def test_local_processes_have_no_such_server(lab: str, tmp_path: Path) -> None:
    run(tmp_path, "up", "--backend", "process", "--lab", lab, "--imap", code=3)
    assert "Nothing was there" in run(tmp_path, "down", lab)


def test_doctor_finds_the_engine(tmp_path: Path) -> None:
    found = msgspec.json.decode(run(tmp_path, "doctor", "--json"))
    assert found["docker"] is True
