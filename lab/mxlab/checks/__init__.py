"""The checks: what each looks at, and what says PASS, FAIL or UNKNOWN."""
