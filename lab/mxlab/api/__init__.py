"""mxlab from Python: stories as objects, running labs for tests, the pytest plugin."""
