"""mxlab: a miniature mail system for hands-on labs, with scripted outages and proof."""

__version__ = "0.1.0"
