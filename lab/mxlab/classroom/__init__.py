"""A class: a seat for each student, a whole lab each, and the server that leads there."""
