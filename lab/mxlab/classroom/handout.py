"""The handout: a page to print, with a card for each seat: its address, as text and as a QR code.

It holds the students' tokens, and nothing of the teacher's.
"""

import html

from mxlab.classroom.plan import ClassPlan, SeatPlan

_STYLE = """
@page { margin: 12mm }
body { font: 11pt/1.4 system-ui, sans-serif; color: #000; background: #fff; margin: 0 }
main { display: grid; grid-template-columns: 1fr 1fr; gap: 6mm }
article { border: 1px solid #000; border-radius: 2mm; padding: 4mm; break-inside: avoid;
  display: grid; grid-template-columns: 34mm 1fr; gap: 4mm; align-items: center }
h2 { font-size: 15pt; margin: 0 0 1mm } p { margin: 0 0 1mm; overflow-wrap: anywhere }
svg { width: 34mm; height: 34mm } code { font: 10pt/1.4 ui-monospace, monospace }
"""


def join_url(root: str, token: str) -> str:
    """The address that lets somebody in, once."""
    return f"{root}/join/{token}"


def handout(plan: ClassPlan, root: str) -> str:
    """The page. `root`: the class server's address, as the students reach it."""
    cards = "\n".join(_card(seat, root) for seat in plan.seats)
    title = f"{html.escape(plan.name)}: {len(plan.seats)} seats"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>{_STYLE}</style>
<main>
{cards}
</main>
</html>
"""


def _card(seat: SeatPlan, root: str) -> str:
    address = join_url(root, seat.token)
    return f"""<article>
{_qr(address)}
<div><h2>Seat {seat.number}</h2>
<p><code>{html.escape(address)}</code></p>
<p>Or open <code>{html.escape(root)}</code> and type
<code>{html.escape(seat.token)}</code></p></div>
</article>"""


def _qr(text: str) -> str:
    import segno

    code = segno.make(text, error="m", micro=False)
    return code.svg_inline(omitsize=True, svgclass=None, lineclass=None, title="The address")
