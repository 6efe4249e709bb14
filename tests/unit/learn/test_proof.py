"""The author's proof: an exercise that holds is proven, a spoilt one is refused, with the line."""

from pathlib import Path

import pytest

from mxlab.cli.hands import type_command
from mxlab.errors import Unsupported
from mxlab.learn.proof import Proof, Subject, proven, walk_simulated
from mxlab.learn.seats import simulated

GOOD = """\
mxlab: 1
exercise: All kinds
minutes: 10
vary: [domain, hosts, preferences, recipients, counts]
setup:
  - fault: {id: down, kill: "{primary}"}
  - config: {host: "{backup}", set: {limits.message_size: 3000}}
  - send: {id: batch, count: "{n}", from: "{alice}", to: "{bob}"}
  - eventually: {within: 60s, queue: {host: "{backup}", holds: batch}}
tasks:
  - id: locate
    text: Which host has the mail of {bob}?
    answer: {holder-of: batch}
    solution: ["mxlab queue"]
    wrong:
      - {answer: "{primary}", text: It is down.}
  - id: guess
    predict: {question: And until when, answer: {next-retry-of: batch}, after: forward}
  - id: gently
    text: Take no mail away.
    never: {bounced: batch}
    wrong:
      - {do: ["mxlab queue {backup} --expire ALL"], text: That was mail for somebody.}
  - id: forward
    text: Have it delivered.
    done: {delivered: batch}
    hints:
      - {when: {state: {host: "{primary}", is: stopped}}, text: It is still down.}
      - {when: {state: {host: "{primary}", is: running}}, text: It is up. Now for the mail.}
      - Look at the queue.
    solution: ["mxlab start {primary}", "mxlab flush {backup}"]
    wrong:
      - {do: ["mxlab flush {backup}"], text: Nobody answers yet.}
  - id: large
    text: Let {backup} take what {primary} takes.
    prove:
      steps:
        - fault: {id: again, stop: "{primary}"}
        - send: {id: plan, size: 9000, from: "{alice}", to: "{bob}"}
        - eventually: {within: 60s, queue: {host: "{backup}", holds: plan}}
        - heal: again
        - eventually: {within: 60s, delivered: plan}
      expect: [all-delivered, nothing-bounced]
    solution: ["mxlab config {backup} --reset limits.message_size"]
    wrong:
      - {do: ["mxlab config {backup} limits.message_size=4000"], text: A plan has more.}
finish:
  expect: [nothing-lost, queues-empty]
"""
SEATS = range(2)
# What is put in the place of what in GOOD; words in the line that is told, and what is said of it.
SPOILT = {
    "a task that is done at its start": (
        "done: {delivered: batch}", "done: {state: {host: '{backup}', is: running}}",
        "done: {state", "done before the student has done anything",
    ),
    "a wrong way that passes": (
        '{do: ["mxlab flush {backup}"]', '{do: ["mxlab start {primary}", "mxlab flush {backup}"]',
        "Nobody answers", "this way is not wrong: the task is done after it",
    ),
    "a wrong answer that is right": (
        '{answer: "{primary}"', '{answer: "{backup}"',
        "It is down", "is not wrong: the task is done after it",
    ),
    "a wrong answer that nobody can mean": (
        '{answer: "{primary}"', '{answer: "the big one"',
        "It is down", "nobody is told that it is wrong",
    ),
    "a wrong way whose text is not said": (
        'flush {backup}"], text: Nobody',
        'flush {backup}"], when: {state: {host: "{primary}", is: running}}, text: Nobody',
        "Nobody answers", "does not say this text",
    ),
    "an answer that does not vary": (
        "answer: {holder-of: batch}", "answer: {is: here}",
        "answer: {is", "in every seat, although `vary` draws others",
    ),
    "an answer that varies against the author's word": (
        'solution: ["mxlab queue"]', "same: true",
        "same: true", "it says `same: true`, and the answer is",
    ),
    "a question to which nobody knows the answer": (
        "answer: {holder-of: batch}", "answer: {status-code-of: batch}",
        "status-code-of", "nobody can say what is right",
    ),
    "a hint that never fits": (
        'when: {state: {host: "{primary}", is: running}}',
        'when: {state: {host: "{backup}", is: stopped}}',
        "is: stopped}}, text: It is up", "this hint never fits",
    ),
    "a solution that fails": (
        'start {primary}", "mxlab flush {backup}"]', 'start {primary}", "mxlab stop {primary}"]',
        "mxlab stop", "the task is not done after its solution",
    ),
    "a solution that is no command": (
        'solution: ["mxlab start {primary}"', 'solution: ["mxlab strat {primary}"',
        "mxlab strat", "`mxlab strat` cannot be typed",
    ),
    "a solution that a node refuses": (
        'solution: ["mxlab start {primary}"', 'solution: ["mxlab start mx9"',
        "start mx9", "no node is called",
    ),
    "a wrong way that is no command": (
        'do: ["mxlab flush {backup}"]', 'do: ["mxlab flush --now"]',
        "flush --now", "No such option: --now",
    ),
    "a setup that does not come about": (
        "holds: batch}}\ntasks", "count: 90}}\ntasks",
        "count: 90", "did not come out",
    ),
    "what never comes about, and nothing shows that it can": (
        '    wrong:\n      - {do: ["mxlab queue {backup} --expire', "    # ['",
        "never: {bounced", "nothing shows that this can come about",
    ),
    "a wrong way to what must never come about, that does not bring it about": (
        "--expire ALL", "--hold ALL", "--hold ALL", "is not wrong",
    ),
    "a proof that passes before the repair": (
        "size: 9000", "size: 10", "steps:", "the proof passes before anything is repaired",
    ),
    "a repair that does not stand its proof": (
        "--reset limits.message_size", "limits.message_size=5000",
        "limits.message_size=5000", "the task is not done after its solution",
    ),
    "an end that does not come about": (
        "expect: [nothing-lost, queues-empty]", "expect: [nothing-lost, queued-at-sender]",
        "queued-at-sender", "in the end",
    ),
    "a question whose solution changes the lab": (
        'solution: ["mxlab queue"]', 'solution: ["mxlab config {backup} limits.recipients=7"]',
        "id: guess", "leads to another lab than to walk there",
    ),
}  # fmt: skip


def prove(text: str, seeds: range = SEATS) -> Proof:
    subject = Subject(Path("x/exercise.yaml"), text, "x")
    return proven(subject, [walk_simulated(subject, seed, type_command) for seed in seeds])


def told(proof: Proof) -> list[str]:
    return [str(error) for error in proof.refusals]


def test_an_exercise_that_holds_is_proven() -> None:
    proof = prove(GOOD)
    assert told(proof) == []
    assert (proof.exercise, proof.seeds, proof.tasks) == ("x", (0, 1), 5)


@pytest.mark.parametrize("what", SPOILT)
def test_what_was_spoilt_is_refused_with_its_line(what: str) -> None:
    old, new, at, said = SPOILT[what]
    assert GOOD.count(old) == 1
    spoilt = GOOD.replace(old, new)
    line = 1 + spoilt[: spoilt.index(at)].count("\n")
    found = told(prove(spoilt))
    assert any(one.startswith(f"x/exercise.yaml:{line}:") and said in one for one in found), found


def test_a_mistake_is_told_once_with_the_seats_that_show_it() -> None:
    old, new, _, _ = SPOILT["a solution that fails"]
    (error,) = prove(GOOD.replace(old, new)).refusals
    assert error.text.endswith("(seed 0 and in 1 other)")


def test_an_exercise_that_is_not_for_the_simulation_is_not_walked_there() -> None:
    with pytest.raises(Unsupported, match="not for sim"):
        prove(GOOD.replace("setup:", "backends: [docker]\nsetup:"))


def test_several_processes_find_what_one_finds() -> None:
    old, new, _, _ = SPOILT["a wrong way that passes"]
    texts = {"good": GOOD, "bad": GOOD.replace(old, new), "docker": f"backends: [docker]\n{GOOD}"}
    subjects = [Subject(Path(name), text, name) for name, text in texts.items()]
    alone, together = (
        [
            (subject.id, told(found) if isinstance(found, Proof) else repr(found))
            for subject, found in simulated(subjects, SEATS, type_command, jobs)
        ]
        for jobs in (1, 2)
    )
    assert alone == together
    assert [name for name, _ in alone] == ["good", "bad", "docker"]
    assert alone[0][1] == []
