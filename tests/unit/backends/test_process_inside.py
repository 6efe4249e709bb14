"""A command inside a node of local processes asks nobody but the lab, or is not run."""

import socket
import subprocess
from pathlib import Path

import pytest

from mxlab.backends.process.inside import inside
from mxlab.errors import Unsupported
from tests.support.programs import require_namespace

SERVER = "127.83.0.2"
SEARCH = ("client.test", "example.test")


def ran(folder: Path, *words: str, port: int = 53) -> str:
    require_namespace()
    command = inside(folder, words, (SERVER, port), SEARCH)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_its_resolver_is_the_labs_and_the_machines_is_as_it_was(tmp_path: Path) -> None:
    before = Path("/etc/resolv.conf").read_text()
    said = ran(tmp_path, "cat", "/etc/resolv.conf")
    assert f"nameserver {SERVER}\n" in said
    assert "search client.test example.test\n" in said
    assert said.count("nameserver") == 1
    assert Path("/etc/resolv.conf").read_text() == before


def test_no_other_way_to_look_a_host_up_is_left(tmp_path: Path) -> None:
    if not Path("/etc/nsswitch.conf").exists():
        pytest.skip("this machine has no /etc/nsswitch.conf")
    said = ran(tmp_path, "cat", "/etc/nsswitch.conf")
    assert [line for line in said.splitlines() if line.startswith("hosts:")] == ["hosts: files dns"]


def test_words_arrive_as_they_are(tmp_path: Path) -> None:
    said = ran(tmp_path, "printf", "%s\n", "a b", "", "$HOME", "'\"", "-x")
    assert said == "a b\n\n$HOME\n'\"\n-x\n"
    assert ran(tmp_path, "pwd") == f"{tmp_path}\n"


@pytest.mark.parametrize("program", ["dig", "/usr/bin/dig", "host"])
def test_where_the_labs_port_is_another_the_tools_that_can_are_told(
    tmp_path: Path, program: str
) -> None:
    require_namespace()
    command = inside(tmp_path, (program, "example.test"), (SERVER, 5353), SEARCH)
    assert command[-4:] == [program, "-p", "5353", "example.test"]


def test_refused_where_another_program_would_be_asked(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        try:
            other.bind((SERVER, 53))
        except PermissionError:
            pytest.skip("this user may not bind port 53")
        with pytest.raises(Unsupported, match="port 53 is another program's"):
            inside(tmp_path, ("true",), (SERVER, 5353), SEARCH)


def test_refused_with_the_reason_where_there_is_no_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="unshare"):
        inside(tmp_path, ("true",), (SERVER, 53), SEARCH)
    (tmp_path / "unshare").write_text("#!/bin/sh\necho 'unshare failed: not here' >&2\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    with pytest.raises(Unsupported, match=r"unshare failed: not here") as problem:
        inside(tmp_path, ("true",), (SERVER, 53), SEARCH)
    assert problem.value.exit_code == 3
