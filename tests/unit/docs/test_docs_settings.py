"""docs/settings.md has every set of timeouts, and every setting that can be changed."""

import re
from pathlib import Path

import msgspec

from mxlab_services.config import PATIENCE
from mxlab_services.settings import changeable

PAGE = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()


def test_the_table_of_timeouts_is_what_the_code_says() -> None:
    (heading,) = re.findall(r"^\| \| (`workshop`.*) \|$", PAGE, re.MULTILINE)
    names = re.findall(r"`(\w+)`", heading)
    rows = re.findall(
        r"^\| `(\w+)`[^|]* \| (\d[^|]*) \| ([^|]*) \| ([^|]*) \|$", PAGE, re.MULTILINE
    )
    assert names == list(PATIENCE)
    for number, name in enumerate(names, 1):
        told = {cells[0]: float(cells[number]) for cells in rows}
        assert told == msgspec.structs.asdict(PATIENCE[name])


def test_of_every_setting_it_is_told_from_when_a_change_holds() -> None:
    table = PAGE.partition("| settings | from when")[2].partition("\n\n")[0]
    told: set[str] = set()
    for row in table.splitlines()[2:]:
        words = re.findall(r"`([a-z_.]+)`", row.split(" | ")[0])
        part = ""
        for word in words:
            part = word.partition(".")[0] if "." in word else part
            told.add(word if "." in word else f"{part}.{word}" if part else word)
    others = {f"timeouts.{name}" for name in msgspec.structs.asdict(PATIENCE["rfc"])}
    assert "the other `timeouts`" in table
    assert told - {"timeouts"} == (set(changeable()) - others) | {"timeouts.idle"}
