"""Whole messages in files beside a scenario: read within bounds, and what is wrong with them.

As for an author's functions, a file lies in the scenario's own folder, whatever links there are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mxlab.errors import UsageError
from mxlab.model.scenario import Problem, Scenario, StepPath, steps_path, walk
from mxlab.model.step import Send
from mxlab.scenario.functions import folder_of, path_problem
from mxlab_services.config import Limits
from mxlab_services.submit.given import whole_message

MOST = Limits().message_size  # bytes


class WrongMail(NamedTuple):
    """What is wrong with the message that a step sends."""

    step: StepPath
    problem: Problem


def mail_in(name: str, folder: Path) -> bytes:
    """The bytes of the file `name` of a scenario in `folder`. Raises UsageError."""
    if wrong := path_problem(name, folder):
        raise UsageError(wrong)
    return read_mail(folder / name)


def read_mail(path: Path) -> bytes:
    """The bytes of a file that is no longer than a message may be. Raises UsageError."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no file")
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} cannot be read: {why}") from error
    if len(data) > MOST:
        raise UsageError(f"{path} has more than the {MOST} bytes that a message may have")
    return data


def mail_problems(scenario: Scenario) -> Iterator[WrongMail]:
    """Files that are not there or hold no message, and one message that is sent as several."""
    folder, sent = folder_of(scenario), dict[str, str]()  # Message-ID -> the batch
    for path, step in walk(scenario.steps):
        if not isinstance(step, Send) or not step.eml:
            continue
        place = (*steps_path(path), "send", "eml")
        try:
            message_id = whole_message(mail_in(step.eml, folder), MOST).message_id
        except UsageError as error:
            yield WrongMail(path, Problem(place, str(error)))
            continue
        except ValueError as error:
            yield WrongMail(path, Problem(place, f"{step.eml}: {error}"))
            continue
        text = f"{step.eml} has the Message-ID {message_id}, so it is one message"
        if message_id and step.count > 1:
            yield WrongMail(path, Problem(place, f"{text}, not {step.count}"))
        elif message_id in sent:
            yield WrongMail(path, Problem(place, f"{text}, which {sent[message_id]} sent already"))
        elif message_id:
            sent[message_id] = step.id
