"""The guidelines as they are written: whole, true to the commands there are, and on their page."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from mxlab.audit.every import JUDGES
from mxlab.audit.page import markdown
from mxlab.audit.rule import audit_rules
from mxlab.checks.registry import CHECKS
from mxlab.cli.app import app
from mxlab.glossary.entry import entries
from mxlab.glossary.look_up import explain
from mxlab.model.mechanism import MECHANISMS
from mxlab.scenario.load import scenario_ids

ROOT = Path(__file__).parents[3]
RULES = audit_rules()


def test_there_are_at_least_twenty_and_each_has_its_judge_and_its_scenario() -> None:
    assert len(RULES) >= 20
    assert JUDGES.keys() == RULES.keys()
    assert {rule.scenario for rule in RULES.values()} <= set(scenario_ids())


def test_no_rule_is_called_as_something_else_is() -> None:
    others = {*entries(), *CHECKS, *MECHANISMS, *scenario_ids()}
    assert not others & RULES.keys()


def test_the_page_in_the_docs_is_made_from_the_rules() -> None:
    assert (ROOT / "docs" / "operating.md").read_text() == markdown()


def test_the_page_has_each_rule_with_its_scenario_and_links_that_lead_somewhere() -> None:
    page = markdown()
    for name, rule in RULES.items():
        assert f'<a id="{name}"></a>' in page
        assert rule.title in page
    for link in re.findall(r"\]\(([^)#]+)\)", page):
        assert (ROOT / "docs" / link).exists(), link


@pytest.mark.parametrize("name", RULES)
def test_its_commands_are_commands(name: str) -> None:
    rule = RULES[name]
    written = [rule.check.command, *rule.seen.breaks, *rule.seen.mends]
    for text in (rule.kept, rule.check.read, rule.check.remedy, rule.check.symptom):
        written += re.findall(r"`(mxlab \S+ [^`]+)`", text)
    for line in written:
        _parse(line)


def _parse(line: str) -> None:
    """Raise for a line that mxlab would not take."""
    program, *words = shlex.split(line)
    assert program == "mxlab"
    command = typer.main.get_command(app)
    context = command.make_context("mxlab", list(words))
    while hasattr(command, "resolve_command"):
        name, command, words = command.resolve_command(context, words)
        assert name is not None, line
        context = command.make_context(name, list(words), parent=context)


def test_a_line_that_is_no_command_would_be_found() -> None:
    for line in ("mxlab adit", "mxlab zone ad x", "mxlab config", "mxlab audit --rulez x"):
        with pytest.raises(Exception, match=r"command|parameter|option"):
            _parse(line)


def test_every_rule_is_explained() -> None:
    for name, rule in RULES.items():
        (found,) = explain(name, {}, {})
        assert found.title == f"the rule {name}"
        assert rule.rule in found.lines
        assert f"$ {rule.check.command}" in found.lines
