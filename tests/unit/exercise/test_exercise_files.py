"""An exercise's file: what is drawn for a seat, and each mistake with its place."""

import re
from pathlib import Path

import pytest

from mxlab.errors import ScenarioError
from mxlab.exercise.load import read_exercise
from mxlab.model.answer import Fixed, HolderOf, NextRetryOf
from mxlab.model.exercise import AnswerTask, DoneTask, Exercise, PredictTask
from mxlab.model.goal import HostState
from mxlab.model.mechanism import Kill
from mxlab.model.step import Fault, Send

WHERE_IS_IT = (Path(__file__).parent / "where-is-it.yaml").read_text()
SEATS = range(20)


def seat(seed: int, text: str = WHERE_IS_IT) -> Exercise:
    return read_exercise(text, seed, "exercise.yaml", "where-is-it")


def mistakes(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        seat(0, text)
    return [f"{one} {one.hint}".strip() for one in caught.value.every]


def test_what_is_drawn_stands_in_setup_tasks_and_topology_alike() -> None:
    for seed in SEATS:
        exercise = seat(seed)
        primary, backup = exercise.topology.mx
        fault, send, _ = exercise.setup
        assert isinstance(fault, Fault)
        assert isinstance(send, Send)
        assert fault.mechanism == Kill(primary.host)
        assert primary.preference < backup.preference
        assert send.addresses[0].endswith(f"@{exercise.topology.domain}")
        forward = exercise.tasks[2]
        assert primary.host in forward.text
        assert forward.hints[0].when[0].goal == HostState(primary.host, "stopped")
        assert forward.solution == (f"mxlab start {primary.host}", f"mxlab flush {backup.host}")


def test_a_seat_draws_the_same_again_and_another_draws_otherwise() -> None:
    assert seat(7) == seat(7)
    for name in ("domain", "primary", "primary_preference", "bob", "n"):
        assert len({seat(seed).values[name] for seed in SEATS}) > 3, name


def test_what_does_not_vary_is_as_it_stands_in_the_file() -> None:
    exercise = seat(3, re.sub("vary: .*", "vary: [counts]", WHERE_IS_IT))
    assert exercise.topology.domain == "example.test"
    assert [mx.host for mx in exercise.topology.mx] == ["mx1", "mx2"]
    assert exercise.values["bob"] == "bob@example.test"


def test_a_count_is_a_number_where_it_stands_alone() -> None:
    exercise = seat(1)
    send = exercise.setup[1]
    assert isinstance(send, Send)
    assert send.count == int(exercise.values["n"])
    assert f"sent {send.count} messages" in exercise.tasks[0].text


def test_an_author_draws_names_and_numbers_of_their_own() -> None:
    text = WHERE_IS_IT.replace("vary:", "draw: {size: {from: 2, to: 4}, who: [amy, zoe]}\nvary:")
    text = text.replace("Where is the mail?", "'{who} sends {size}'")
    assert {seat(seed, text).title for seed in range(60)} == {
        f"{who} sends {size}" for who in ("amy", "zoe") for size in (2, 3, 4)
    }


def test_a_wrong_answer_is_a_text_though_it_looks_like_a_number() -> None:
    wrong = 'wrong: [{answer: "{n}", text: Not so many.}]\n    hints: ['
    exercise = seat(3, WHERE_IS_IT.replace("hints: [", wrong, 1))
    assert exercise.tasks[0].wrong[0].answer == exercise.values["n"]
    many = WHERE_IS_IT.replace("hints: [", wrong.replace('"{n}"', "[a, b]"), 1)
    assert any("`answer`: expected an answer as it is typed" in line for line in mistakes(many))


def test_kinds_of_tasks_are_told_by_their_key() -> None:
    locate, predict, forward = seat(0).tasks
    assert locate.judged == AnswerTask(HolderOf("batch"))
    assert isinstance(predict.judged, PredictTask)
    assert predict.judged.answer == NextRetryOf("batch")
    assert predict.text == predict.judged.question
    assert isinstance(forward.judged, DoneTask)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("{primary}", "{primry}", "8:29: `kill`: {primry} is not known did you mean {primary}?"),
        ("holder-of", "holdr-of", "`holdr-of`: unknown key did you mean `holder-of`?"),
        ("batch}", "btch}", "`holder-of`: 'btch': no batch of that id was sent before"),
        ("kill:", "kil:", "8:23: `kil`: unknown key did you mean `kill`?"),
        ('state: {host: "{primary}"', "state: {host: mx9", "'mx9': there is no such host"),
        ("[domain,", "[domian,", "'domian' is not known here did you mean domain?"),
        ("exercise: W", "exercize: W", "did you mean `exercise`?"),
        ("mxlab: 1", "mxlab: 2", "version 2 is not known here"),
        ("done: {delivered: batch}", "x: 1", "`x`: unknown key"),
        ("id: forward", "id: locate", "two tasks have the id 'locate'"),
        ("nothing-lost", "nothing-lst", "there is no check of that name did you mean"),
        ("done: {delivered: batch}", "done: {not: {deliverd: batch}}", "did you mean `delivered`?"),
        ("id: predict", "id: PredictTask!", "an id: at most 41"),
        ("exercise: W", "exercise: {n} w", "text that begins with { stands between quotes"),
        ("minutes: 10", "minutes: none", "`minutes`: expected a whole number"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_place(right: str, wrong: str, told: str) -> None:
    found = mistakes(WHERE_IS_IT.replace(right, wrong))
    assert any(told in line for line in found), found
    assert all(line.startswith("exercise.yaml:") for line in found)


def test_a_number_answers_as_it_is_written() -> None:
    text = WHERE_IS_IT.replace("answer: {holder-of: batch}", "answer: {is: {words: [5, five]}}", 1)
    text = text.replace("do: [", "answer: 7\n        # [", 1)
    exercise = seat(0, text)
    assert exercise.tasks[0].judged == AnswerTask(Fixed(("5", "five")))
    assert exercise.tasks[2].wrong[0].answer == "7"
    assert mistakes(WHERE_IS_IT.replace("{holder-of: batch}", "{is: ''}", 1))
