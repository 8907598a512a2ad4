"""The published tables, computed again: `python -m bench.results`."""
