"""axe-core, the rules of accessibility, in the browser of a test.

Its script comes out of a package that ships it; nothing else of that package is used.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.browser import Browser

PACKAGE = "axe_playwright_python"
_RUN = """
axe.run(document, {iframes: false}).then((found) => found.violations.flatMap((rule) =>
  rule.nodes.map((node) => [rule.id, node.target.join(" "), node.failureSummary].join(": "))))
"""


@cache
def script() -> str:
    """The script of axe-core."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None, f"{PACKAGE} is not installed: see tests/page.txt"
    assert spec.origin is not None
    return Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8")


def findings(browser: Browser) -> list[str]:
    """What axe finds wrong with the page as it is now: rule, element, and what to do."""
    if browser.evaluate("typeof axe") == "undefined":
        browser.evaluate(f"{script()}; null")
    found: Any = browser.evaluate(_RUN)
    return [" ".join(str(one).split()) for one in found]
