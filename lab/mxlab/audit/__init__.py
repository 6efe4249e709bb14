"""Rules for those who run mail exchangers, and what is held against them: `mxlab audit`."""
