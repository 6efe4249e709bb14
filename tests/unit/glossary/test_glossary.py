"""The glossary: every entry whole, every word found, a teacher's own beside ours."""

from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner, Result

from mxlab.checks.registry import CHECKS
from mxlab.cli.app import app
from mxlab.errors import UsageError
from mxlab.glossary.codes import ENHANCED, REPLY, meaning_of
from mxlab.glossary.entry import entries
from mxlab.glossary.look_up import explain
from mxlab.glossary.page import markdown
from mxlab.model.mechanism import MECHANISMS
from mxlab.model.step import AnyStep
from mxlab.scenario.load import scenario_ids
from mxlab_services.events import KINDS

ROOT = Path(__file__).parents[3]
GLOSSARY = entries()


def _shown(*words: str, code: int = 0, own: Path | None = None) -> Result:
    environment = {"MXLAB_GLOSSARY": str(own) if own else None}
    result = CliRunner(env=environment).invoke(app, ["explain", *words])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def test_there_are_at_least_sixty_entries_and_each_is_whole() -> None:
    assert len(GLOSSARY) >= 60
    for name, entry in GLOSSARY.items():
        assert entry.see, name
        assert entry.like, name
        assert entry.do, name
        assert entry.mistake, name
        assert entry.section, name
        assert entry.scenarios, name


def test_what_entries_name_is_there() -> None:
    stories = set(scenario_ids())
    for name, entry in GLOSSARY.items():
        assert set(entry.related) <= GLOSSARY.keys(), name
        assert name not in entry.related
        assert set(entry.scenarios) <= stories, name


def test_no_name_has_two_entries() -> None:
    names = [
        word
        for name, entry in GLOSSARY.items()
        for word in {name, *(other.casefold() for other in entry.names)}
    ]
    assert len(names) == len(set(names)), {name for name in names if names.count(name) > 1}


@pytest.mark.parametrize("word", ["Backup MX", "backup-mx", " SECONDARY mx "])
def test_an_entry_is_found_by_each_of_its_names(word: str) -> None:
    assert explain(word, GLOSSARY, {})[0].title == "Backup MX"


def test_every_word_of_mxlabs_language_is_explained() -> None:
    words = [*CHECKS, *KINDS, *MECHANISMS, *(step.key for step in get_args(AnyStep))]
    for word in words:
        assert all(line for one in explain(word, GLOSSARY, {}) for line in one.lines), word


def test_codes_are_explained_also_those_that_nobody_registered() -> None:
    assert meaning_of("451") == [
        REPLY[451],
        "Not now: the sender keeps the message, and tries again.",
    ]
    assert meaning_of("5.1.1") == [ENHANCED["1.1"], meaning_of("550")[-1]]  # type: ignore[index]
    assert meaning_of("599") == ["Never: the sender gives the message up, and tells its author."]
    assert meaning_of("4.99.99") is not None
    for text in ("199", "600", "45", "4511", "3.1.1", "5.1", "5.1.1.1", "٤٥١", ""):
        assert meaning_of(text) is None


def test_every_code_that_our_servers_say_is_known() -> None:
    import re

    source = "\n".join(
        file.read_text() for file in (ROOT / "services" / "mxlab_services").rglob("*.py")
    )
    said = re.findall(r"Reply\((\d{3}), \"(\d\.\d+\.\d+)\"", source)
    assert len(said) > 20
    for code, enhanced in said:
        assert int(code) in REPLY, code
        assert enhanced.partition(".")[2] in ENHANCED, enhanced


def test_the_page_in_the_docs_is_made_from_the_entries() -> None:
    assert (ROOT / "docs" / "glossary.md").read_text() == markdown(GLOSSARY)


def test_a_teachers_entry_stands_beside_ours_or_in_the_place_of_one(tmp_path: Path) -> None:
    (tmp_path / "pigeon.yaml").write_text("term: Pigeon\nmeaning: It carries letters.\n")
    (tmp_path / "bounce.yaml").write_text("term: Bounce\nmeaning: Our own words.\n")
    assert "It carries letters." in _shown("pigeon", own=tmp_path).stdout
    assert "Our own words." in _shown("bounce", own=tmp_path).stdout
    assert "pigeon" in _shown("--list", own=tmp_path).stdout.splitlines()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("term: [", "x.yaml:"),
        ("meaning: no term\n", "`term`"),
        ("term: X\nmeaning: Y\ncolour: red\n", "colour"),
        ("- a list\n", "no entry"),
        ("term: X\nmeaning: Y\nsee: [" + "a, " * 9 + "]\n", "8"),
        ("\x00", "not YAML"),
    ],
)
def test_a_broken_entry_is_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(UsageError, match=r"x\.yaml") as caught:
        entries(tmp_path)
    assert said in str(caught.value)


def test_what_nobody_knows_is_answered_with_the_nearest(tmp_path: Path) -> None:
    assert "did you mean 'backup-mx'?" in _shown("backup-mxx", code=2).stderr
    assert "--list" in _shown(code=2).stderr
    assert "is no folder" in _shown("bounce", code=2, own=tmp_path / "nowhere").stderr
