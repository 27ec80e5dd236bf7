"""The ideas that every method is built from, and the machinery that runs them."""
