"""The worlds in which a lab can run. `base` is what they have in common."""
