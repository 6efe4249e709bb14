"""`mxlab up --scenario ID --until STEP`: a lab in the midst of a story."""

from pathlib import Path

import pytest

from tests.support.command import Lab

STORY = """mxlab: 1
title: a beginning
steps:
- fault: {id: down, kill: mx1}
- send: {id: batch, from: alice@client.test, to: bob@example.test, count: 2}
- eventually: {within: 30s, queue: {host: mx2, holds: batch}}
- never: {during: 1s, queue: {host: mx2, holds: batch}}
expect: [nothing-lost]
"""


@pytest.fixture
def story(tmp_path: Path) -> str:
    file = tmp_path / "story.yaml"
    file.write_text(STORY)
    return str(file)


def test_the_lab_is_left_as_the_story_had_it(lab: Lab, story: str) -> None:
    result = lab.run("up", "--scenario", story, "--until", "3")
    assert "[3/3]" in result.stderr
    assert "stopped" in next(line for line in lab("status").splitlines() if line.startswith("mx1"))
    assert len(lab("queue", "mx2", "--json").splitlines()) == 2
    lab("start", "mx1")
    lab("flush", "mx2")


def test_the_labs_time_passes_as_fast_as_the_storys(lab: Lab, story: str) -> None:
    file = Path(story)
    file.write_text(file.read_text().replace("steps:", "time_scale: 60\nsteps:"))
    lab("up", "--scenario", story, "--until", "0")
    assert "60" in lab("config", "mx1", "time.scale")


def test_a_step_that_fails_is_told_and_the_lab_stays(lab: Lab, story: str) -> None:
    result = lab.run("up", "--scenario", story, code=1)
    assert "step 4 failed" in result.stderr
    lab("status")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--scenario", "primary-outage", "--until", "99"], 2, "primary-outage has 14 steps"),
        (["--scenario", "primary-outge"], 2, "did you mean 'primary-outage'?"),
        (["--until", "3"], 2, "--scenario ID"),
        (["--scenario", "primary-outage", "--mx", "3"], 2, "a lab of its own"),
        (["--scenario", "five-day-outage"], 3, "use --backend sim"),
    ],
)
def test_what_cannot_begin_says_why(lab: Lab, words: list[str], code: int, said: str) -> None:
    assert said in lab.run("up", *words, code=code).stderr
