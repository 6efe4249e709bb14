"""The first draft of an exercise: a file that lints and is proven as it is, and a lesson to be
filled in. Pure: text only."""

import re

from mxlab.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")


def check_exercise_id(name: str) -> None:
    """Raise UsageError for what cannot become an exercise's id."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be an exercise's id", "lower-case letters, digits and hyphens: my-lab"
        )


def draft_exercise(name: str, title: str = "") -> str:
    """The text of exercise.yaml. Raises UsageError."""
    check_exercise_id(name)
    shown = (title or name.replace("-", " ").capitalize()).replace("'", "''")
    return _DRAFT.replace("TITLE", f"'{shown}'")


def draft_lesson(name: str, title: str = "") -> str:
    """The text of README.md."""
    return _LESSON.replace("TITLE", title or name.replace("-", " ").capitalize())


_DRAFT = """\
# For completion in an editor: mxlab exercise schema > mxlab-exercise.schema.json, and here
# yaml-language-server: $schema=mxlab-exercise.schema.json
mxlab: 1
exercise: TITLE
minutes: 10
terms: [backup-mx, store-and-forward]       # mxlab explain
# Each seat has names and numbers of its own: {primary}, {backup}, {domain}, {bob}, {n}.
vary: [domain, hosts, preferences, recipients, counts]
teacher:
  mistakes: They look for the mail at the host that is down.
  ask: Who would have the mail if there were no backup?
setup:
  - fault: {id: outage, kill: "{primary}"}
  - send: {id: batch, count: "{n}", from: "{alice}", to: "{bob}"}
  - eventually: {within: 60s, queue: {host: "{backup}", holds: batch}}
tasks:
  - id: locate
    text: Somebody sent {n} messages to {bob}, who has none of them. Which host has them now?
    answer: {holder-of: batch}              # computed from the lab, so it is right for every seat
    hints:
      - "`mxlab queue` shows what waits at each host."
    solution: ["mxlab queue"]
    wrong:
      - answer: "{primary}"
        text: That host is down. Can it have taken anything?
  - id: deliver
    text: Bring {primary} back, and see that {bob} gets the mail.
    done: {delivered: batch}
    hints:
      - when: {state: {host: "{primary}", is: stopped}}
        text: The host is still down. What starts a node?
      - "The backup tries again by itself. An operator can make it try now."
    solution: ["mxlab start {primary}", "mxlab flush {backup}"]
    wrong:
      - do: ["mxlab flush {backup}"]
        text: A flush tries at once. It cannot help while nobody answers.
finish:
  expect: [nothing-lost, duplicates-explained]
  text: The backup took the mail, and with it the responsibility, until it could hand it on.
"""

_LESSON = """\
# TITLE

## What happens
1. ...

## Why
- ... (RFC 5321 §...)

## What to look at
- `mxlab queue`: ...

## Questions
1. ...
"""
