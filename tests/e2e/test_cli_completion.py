"""What Tab completes, asked as a shell asks: by environment variables, and by a real bash."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mxlab.faults import CATALOGUE
from mxlab.scenario.load import scenario_ids
from tests.support.command import MXLAB, SECONDS, Lab, tab
from tests.support.programs import require


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("completion"))
    made("up")
    yield made
    made("down")


@pytest.mark.parametrize(
    "words", [["kill"], ["queue"], ["logs"], ["exec"], ["etrn"], ["mailbox", "--node"]]
)
def test_nodes(lab: Lab, words: list[str]) -> None:
    assert tab(lab, *words, "m") == ["mx1", "mx2"]


def test_a_node_that_stands_there_already_is_not_offered_again(lab: Lab) -> None:
    assert tab(lab, "kill", "mx1", "") == ["client", "dns", "mx2"]


def test_labs(lab: Lab) -> None:
    for words in (["status", "--lab"], ["down"], ["kill", "--lab"]):
        assert tab(lab, *words, "t-") == [lab.name]


def test_faults_by_kind_and_what_is_open(lab: Lab) -> None:
    assert tab(lab, "fault", "l") == ["list"]
    assert tab(lab, "fault", "mx1", "") == sorted(CATALOGUE)
    assert tab(lab, "fault", "mx1", "dns-s") == ["dns-servfail", "dns-stale", "dns-swapped-mx"]
    assert tab(lab, "heal", "") == []
    lab("fault", "mx1", "refuse")
    assert tab(lab, "heal", "") == ["mx1", "mx1-refuse"]
    lab("heal", "--all")


def test_scenarios(lab: Lab, tmp_path: Path) -> None:
    for words in (["run"], ["scenario", "show"], ["scenario", "lint"]):
        assert tab(lab, *words, "") == sorted(scenario_ids())
    (tmp_path / "my-own").mkdir()
    (tmp_path / "my-own" / "scenario.yaml").touch()
    assert tab(lab, "run", "my-", MXLAB_SCENARIOS=str(tmp_path)) == ["my-own"]


@pytest.mark.parametrize("name", ["", "nobody", "a/b"])
def test_without_a_lab_there_is_nothing_and_no_word(lab: Lab, name: str) -> None:
    for words in (["kill"], ["heal"], ["queue"]):
        assert tab(lab, *words, "m", MXLAB_LAB=name) == []


def test_a_real_bash_completes(lab: Lab, tmp_path: Path) -> None:
    require("bash")
    program = tmp_path / "mxlab"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(MXLAB)} "$@"\n')
    program.chmod(0o755)
    script = """
        source <(_MXLAB_COMPLETE=source_bash mxlab)
        COMP_WORDS=(mxlab kill m) COMP_CWORD=2
        "$(complete -p mxlab | sed 's/.*-F \\([^ ]*\\).*/\\1/')" mxlab m kill
        echo "${COMPREPLY[@]}"
    """
    ran = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=SECONDS,
        env={**os.environ, **lab.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=False,
    )  # fmt: skip
    assert ran.stdout.splitlines()[-1:] == ["mx1 mx2"], ran.stderr


def test_tab_loads_nothing_that_it_does_not_need() -> None:
    heavy = "docker", "yaml", "aiosmtpd", "dnslib", "rich"
    program = (
        "import sys\nfrom mxlab.cli.completion import fault_kinds\nassert fault_kinds('dns-')\n"
        f"print([n for n in {heavy!r} if n in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout == "[]\n"
