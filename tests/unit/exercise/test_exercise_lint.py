"""What an author of an exercise would regret, and what editors complete."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mxlab.backends.registry import BACKENDS, backend_named
from mxlab.errors import ScenarioError, UsageError
from mxlab.exercise.draft import draft_exercise, draft_lesson
from mxlab.exercise.lint import lint_exercise
from mxlab.exercise.load import read_exercise
from mxlab.exercise.schema import exercise_schema
from mxlab.exercise.show import describe_exercise
from mxlab.glossary.entry import entries
from mxlab.model.answer import QUESTIONS
from mxlab.model.goal import GOALS
from tests.support.schema_check import violations

DRAFT = draft_exercise("my-lab")
WHERE_IS_IT = (Path(__file__).parent / "where-is-it.yaml").read_text()


def no_command(line: str) -> str:
    return "" if line.startswith("mxlab ") else f"{line!r} is no command of mxlab"


def lint(text: str, folder: Path) -> list[str]:
    file = folder / "exercise.yaml"
    file.write_text(text)
    worlds = [backend_named(name) for name in BACKENDS]
    said = lint_exercise(file, entries(), no_command, worlds)
    return [f"{one.error.line}: {one.level}: {one.error.text} {one.error.hint}" for one in said]


def test_a_draft_has_nothing_to_be_mended(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(draft_lesson("my-lab"))
    assert lint(DRAFT, tmp_path) == []


def test_a_draft_says_its_title_whatever_is_in_it() -> None:
    assert read_exercise(draft_exercise("x", "It's: #1")).title == "It's: #1"


def test_no_draft_has_a_name_that_is_no_id() -> None:
    with pytest.raises(UsageError, match="cannot be an exercise's id"):
        draft_exercise("../x")


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("[backup-mx,", "[backup-mxx,", "6: error: `terms[1]`: 'backup-mxx': the glossary has no"),
        ('["mxlab queue"]', '["rm -r /"]', "`solution[1]`: 'rm -r /' is no command of mxlab"),
        ('do: ["mxlab flush', 'do: ["flush', "`do[1]`: 'flush"),
        ('    solution: ["mxlab start', '    # ["mxlab start', "error: `tasks[2]`: without a `sol"),
        ("vary: [", "# vary: [", "warning: nothing varies"),
        ("teacher:", "# teacher:", "not YAML"),
        ("expect: [nothing-lost, duplicates-explained]", "expect: []", "nothing is expected"),
        ("holds: batch", "holds: batsh", "'batsh': no batch of that id was sent before"),
        ('kill: "{primary}"', 'kill: "{client}"', "client is down (outage): nobody is there to"),
        ('hints:\n      - "`mxlab queue`', 'x:\n      - "`mxlab queue`', "`x`: unknown key"),
    ],
)  # fmt: skip
def test_each_regret_is_told_with_its_place(
    right: str, wrong: str, told: str, tmp_path: Path
) -> None:
    assert right in DRAFT
    found = lint(DRAFT.replace(right, wrong), tmp_path)
    assert any(told in line for line in found), found


def test_two_wrong_ways_that_look_alike_are_refused(tmp_path: Path) -> None:
    second = '\n      - do: ["mxlab stop {backup}"]\n        text: No.\nfinish:'
    found = lint(DRAFT.replace("\nfinish:", second), tmp_path)
    assert any("only the first is ever told" in line for line in found), found


def test_a_mistake_that_only_some_seats_have_is_found(tmp_path: Path) -> None:
    text = DRAFT.replace("vary:", "draw: {odd: [batch, batch2]}\nvary:", 1)
    found = lint(text.replace("{delivered: batch}", '{delivered: "{odd}"}'), tmp_path)
    assert any("no batch of that id" in line for line in found), found


def test_all_is_told_of_a_seat() -> None:
    exercise = read_exercise(DRAFT, 3, exercise_id="my-lab")
    told = "\n".join(describe_exercise(exercise))
    for word in ("primary", "backup", "domain", "bob"):
        assert exercise.values[word] in told
    assert "solution: mxlab start" in told
    assert "no message is lost" in told.casefold() or "nothing-lost:" in told


SCHEMA = exercise_schema()


@pytest.mark.parametrize("text", [DRAFT, WHERE_IS_IT], ids=["draft", "where-is-it"])
def test_the_schema_takes_what_the_loader_takes(text: str) -> None:
    assert list(violations(yaml.safe_load(text), SCHEMA)) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("answer: {holder-of", "answer: {holdr-of"),
        ("done: {delivered", "done: {deliverd"),
        ("minutes: 10", "minutes: ten"),
        ("  - id: locate", "  - idd: locate"),
        ("vary: [domain", "vary: [domian"),
        ("state: {host", "state: {hst"),
        ("done: {delivered: batch}", "done: {delivered: batch}\n    never: {bounced: batch}"),
    ],
)
def test_the_schema_finds_what_is_misspelt(right: str, wrong: str) -> None:
    text = DRAFT.replace(right, wrong)
    assert text != DRAFT
    assert list(violations(yaml.safe_load(text), SCHEMA))
    with pytest.raises(ScenarioError):
        read_exercise(text)


def test_the_schema_knows_every_goal_and_question() -> None:
    def keys(name: str) -> set[str]:
        found: dict[str, Any] = SCHEMA["$defs"][name]["properties"]
        return set(found)

    assert keys("goal") == {*GOALS, "not"}
    assert keys("question") == set(QUESTIONS)
