"""docs/rules.md names every rule, and only tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COUNTS = {"A": 10, "B": 7, "C": 4, "D": 3, "E": 5}
STAGES = (
    "refused, timeout, 4yz greeting or EHLO", "5yz greeting", "4yz to MAIL, DATA or the dot",
    "4yz to RCPT", "5yz to MAIL, DATA or the dot", "5yz to RCPT", "452 too many recipients",
    "lost before the dot", "lost after the dot",
)  # fmt: skip
RULES = [f"{letter}{n}" for letter, count in COUNTS.items() for n in range(1, count + 1)]
RULES += [f"B: {stage}" for stage in STAGES]
ROW = re.compile(r"^\| ([A-E]\d+|[A-E]: [^|(]+?)(?: \([^)]*\))? \| (.+) \| (.+) \|$", re.MULTILINE)


def rows() -> dict[str, str]:
    text = (ROOT / "docs" / "rules.md").read_text()
    return {rule: proofs for rule, _, proofs in ROW.findall(text)}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_test(rule: str) -> None:
    assert re.findall(r"`test_\w+`", rows()[rule])


def test_every_test_named_there_exists() -> None:
    files = [*(ROOT / "tests").rglob("test_*.py")]
    made = {
        name
        for file in files
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    for rule, proofs in rows().items():
        named = re.findall(r"`(\w+)`", proofs)
        assert set(named) <= made, rule


def test_every_rules_test_is_in_the_table() -> None:
    named = set(re.findall(r"`(test_\w+)`", " ".join(rows().values())))
    for file in (ROOT / "tests" / "rules").glob("test_*.py"):
        made = re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
        assert set(made) <= named, file.name
