"""A run's result to report on, and what a page of it holds."""

import json
from html.parser import HTMLParser
from typing import Any

from mxlab.model.finding import Finding, overall
from mxlab.model.scenario import Scenario
from mxlab.model.step import Say
from mxlab.runner.result import RunResult
from tests.support.history import through_both


def result(*findings: Finding) -> RunResult:
    history = through_both()
    return RunResult(
        scenario=Scenario(title="A title", steps=(Say("x"),), expect=("nothing-lost",), id="story"),
        backend="sim",
        run_id="r1",
        seed=5,
        time_scale=1.0,
        verdict=overall(findings),
        findings=findings,
        trace=history.trace(),
        evidence=history.evidence(),
        durations={"deploy": 0.5, "steps": 1.25},
        lab_seconds=7200.0,
        replay="mxlab run story --backend sim --seed 5",
    )


class Reader(HTMLParser):
    """Collects elements, attributes and the content of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.content: dict[str, list[str]] = {}
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        kind = dict(attrs).get("type") or "code" if tag == "script" else tag
        self._inside = kind if tag in ("script", "style", "title", "pre") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.content.setdefault(self._inside, []).append(data)


def data_of(page: str) -> Any:
    return json.loads("".join(Reader(page).content["application/json"]))
