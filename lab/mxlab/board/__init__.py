"""A lab over HTTP: an API for programs in any language, and what a page shows of it."""
