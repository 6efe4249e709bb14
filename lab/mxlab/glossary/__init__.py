"""What the words of mail mean: `mxlab explain`."""
