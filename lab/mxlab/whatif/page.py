"""Rehearsals as one HTML page that needs nothing else, and runs nothing. Pure."""

import html
from collections.abc import Mapping, Sequence

from mxlab.visible import visible
from mxlab.whatif.table import FateTable

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}th,td{border:1px solid #888;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}thead th{background:#8882}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}"
)


def page(title: str, tables: Sequence[FateTable], names: Mapping[str, str]) -> str:
    """The page of these tables. `names`: host of the lab -> what it stands for."""
    head = _text(f"What if: {title}")
    stood = ", ".join(f"{host} for {name}" for host, name in names.items())
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{head}</title><style>{_STYLE}</style></head><body><main><h1>{head}</h1>",
        f"<p>Played in a simulated lab: {_text(stood)}.</p>" if stood else "",
        *(_table(table) for table in tables),
        "</main></body></html>\n",
    ]
    return "".join(parts)


def _table(table: FateTable) -> str:
    heads = "".join(f'<th scope="col">{_text(heading)}</th>' for heading in table.headings)
    rows = "".join(
        f'<tr><th scope="row">{_text(row[0])}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    quiet = "".join(f"<li>{_text(name)}</li>" for name in table.harmless)
    return (
        f"<h2>Retry schedule: {_text(table.schedule)}</h2>"
        + (f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>" if rows else "")
        + (f"<p>No mail has to wait when one of these fails:</p><ul>{quiet}</ul>" if quiet else "")
    )


def _text(value: str) -> str:
    return html.escape(visible(value))
