"""Each operating guideline as it says: broken in a lab, found by the audit, seen by its command,
mended.

`mxlab audit` and the commands are asked again until they say so: caches, copies and queues take
their time.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from mxlab.audit.rule import audit_rules
from mxlab.cli import app
from tests.support.command import MXLAB, SECONDS, Lab

RULES = audit_rules()
PRODUCTS = {name for name, rule in RULES.items() if "software" in str(rule.seen.topology)}
IN_LABS = [
    name for name, rule in RULES.items() if not rule.seen.zone and name not in PRODUCTS
]  # fmt: skip


def _until(true: Callable[[], bool]) -> None:
    """Ask again until it is so, or the test's time is over."""
    while not true():
        pass


def _found(text: str) -> set[str]:
    return {finding["rule"] for finding in json.loads(text)["findings"]}


class _Tried:
    """One rule, in a lab of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.rule, self.folder = name, RULES[name], folder
        self.lab = Lab(folder)

    def up(self) -> None:
        file = self.folder / "lab.yaml"
        file.write_text(yaml.safe_dump(self.rule.seen.topology))
        scale = f"{self.rule.seen.scale:g}"
        self.lab("up", "--topology", str(file), "--time-scale", scale)

    def ask(self, command: str) -> str:
        program, *words = shlex.split(command)
        assert program == "mxlab"
        result = CliRunner(env=self.lab.environment).invoke(app, words)
        assert result.exit_code in (0, 1, 3), result.output  # dig: nobody answers
        assert "Traceback" not in result.output
        return result.stdout

    def do(self, command: str) -> None:
        program, *words = shlex.split(command)
        assert program == "mxlab"
        self.lab(*words)

    def is_broken(self) -> bool:
        return self.name in _found(self.ask(f"mxlab audit --rule {self.name} --json"))

    def shows(self) -> bool:
        check = self.rule.check
        return re.search(check.shows, self.ask(check.command)) is not None


@pytest.mark.parametrize("name", IN_LABS)
def test_what_breaks_a_rule_is_found_and_what_mends_it_mends(name: str, tmp_path: Path) -> None:
    tried = _Tried(name, tmp_path)
    seen = tried.rule.seen
    tried.up()
    try:
        if seen.breaks:
            assert not tried.is_broken()
            for command in seen.breaks:
                tried.do(command)
        _until(tried.is_broken)
        _until(tried.shows)
        for command in seen.mends:
            tried.do(command)
        if seen.mends:
            _until(lambda: not tried.is_broken())
            _until(lambda: not tried.shows())
    finally:
        tried.lab("down")


@pytest.mark.docker
@pytest.mark.long
@pytest.mark.parametrize("name", sorted(PRODUCTS))
def test_what_a_product_is_told_is_found_and_its_own_tools_show_it(
    name: str, tmp_path: Path
) -> None:
    """With the primary down, so that the backup is asked."""
    rule, lab = RULES[name], Lab(tmp_path).name

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        there = {**os.environ, "MXLAB_LAB": lab, "MXLAB_STATE_DIR": str(tmp_path)}
        ran = subprocess.run(
            [*MXLAB, *words], env=there, timeout=2 * SECONDS, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert "Traceback" not in ran.stderr
        return ran

    file = tmp_path / "lab.yaml"
    for topology, broken in ((rule.seen.topology, True), (rule.seen.mended, False)):
        file.write_text(yaml.safe_dump(topology))
        try:
            ask("up", "--topology", str(file), "--backend", "docker")
            document = json.loads(ask("audit", "--rule", name, "--json").stdout)
            assert bool(document["findings"]) == broken
            ask("kill", "mx1")
            shown = ask(*shlex.split(rule.check.command)[1:])
            said = shown.stdout + shown.stderr
            assert (re.search(rule.check.shows, said) is not None) == broken, said
        finally:
            ask("down")
