"""docs/api.md is what the OpenAPI document says, and docs/board.md names what there is."""

import re
from pathlib import Path

from mxlab.board.endpoint import PREFIX
from mxlab.board.openapi import openapi, page

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_made_from_the_document() -> None:
    assert (DOCS / "api.md").read_text() == page(), "mxlab board --markdown > docs/api.md"


def test_every_path_that_the_guide_names_is_there() -> None:
    paths = {path.removeprefix(PREFIX) for path in openapi()["paths"]}
    named = re.findall(
        r"`(?:GET|POST|DELETE|PUT|PATCH) (/[\w{}/]+)", (DOCS / "board.md").read_text()
    )
    assert named
    assert {path for path in named if path not in paths} <= {"/events", "/metrics"}
