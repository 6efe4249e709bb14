"""Exercises: their file format, what is drawn for each seat, what is wrong with one."""
