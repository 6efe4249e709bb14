"""Scenario files: read, checked, described, drafted."""
