"""Runs as one HTML file that needs nothing else: no network, no other file, no server.

All that comes from a run travels as JSON in which no character can end the element around it; the
page's script puts it into the document as text, never as markup. A content security policy admits
only the page's own script and style, by their digests.
"""

import html as markup
import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files

from mxlab.report.text import text
from mxlab.report.viewer import view
from mxlab.runner.result import RunResult
from mxlab.visible import shown_json, visible

SCRIPTS = ("model", "signs", "axis", "timeline", "finder", "panels", "main")
_SLOT = re.compile(r"<!--slot:(\w+)-->")
_MARKUP = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


def html(results: Iterable[RunResult]) -> str:
    """The page of these runs."""
    runs = list(results)
    script = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    style = _asset("page.css")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    titles = ", ".join(run.scenario.id or run.scenario.title for run in runs)
    data = shown_json([view(run) for run in runs]).translate(_MARKUP)
    slots = {
        "policy": markup.escape(policy),
        "title": markup.escape(visible(f"{titles} - mxlab")),
        "style": style,
        "text": markup.escape("\n".join(text(run) for run in runs)),
        "data": data,
        "script": script,
    }
    return _SLOT.sub(lambda slot: slots[slot[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return files("mxlab.report").joinpath("page", name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return f"sha256-{b64encode(sha256(content.encode()).digest()).decode()}"
