"""Findings in the forms in which people and programs read them. Pure: text in, text out."""

from mxlab.report.document import SCHEMA, document, to_json
from mxlab.report.html import html
from mxlab.report.junit import junit
from mxlab.report.recording import judge_again, record
from mxlab.report.text import summary, text

__all__ = [
    "SCHEMA",
    "document",
    "html",
    "judge_again",
    "junit",
    "record",
    "summary",
    "text",
    "to_json",
]
