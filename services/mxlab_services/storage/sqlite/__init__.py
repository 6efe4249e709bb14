"""The spool on disk: its crash argument stands in `spool`."""
