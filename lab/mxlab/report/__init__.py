"""Findings in the forms in which people and programs read them. Pure: text in, text out."""
