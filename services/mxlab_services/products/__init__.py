"""Real mail servers as nodes: an agent of ours runs the product, and tells and answers for it."""
