"""Where a message goes (routing by MX), and taking it there (the walk over hosts)."""
