"""A lab's figures in the text format of Prometheus. Pure."""

from collections.abc import Iterator, Mapping

from mxlab.board.figures import Figures

_TOTALS = {
    "accepted": "Messages that a node took into its queue.",
    "attempts": "Delivery attempts begun.",
    "delivered": "Messages put into mailboxes.",
    "bounced": "Notifications of failure.",
}


def metrics(figures: Figures, lab: str, *, up: bool) -> str:
    """All series of a lab."""
    return "".join(f"{line}\n" for line in _lines(figures, lab, up))


def _lines(figures: Figures, lab: str, up: bool) -> Iterator[str]:
    yield from _family("mxlab_up", "gauge", "Whether the lab is up.")
    yield _sample("mxlab_up", {"lab": lab}, int(up))
    yield from _family("mxlab_queue_messages", "gauge", "Messages in a node's queue.")
    for node, count in figures.depth.items():
        yield _sample("mxlab_queue_messages", {"lab": lab, "node": node}, count)
    for name, text in _TOTALS.items():
        metric = f"mxlab_{name}_total"
        yield from _family(metric, "counter", text)
        yield _sample(metric, {"lab": lab}, figures.totals[name])
    yield from _family("mxlab_replies_total", "counter", "SMTP replies by code.")
    for code, count in sorted(figures.replies.items()):
        yield _sample("mxlab_replies_total", {"lab": lab, "code": code}, count)


def _family(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: int) -> str:
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
