"""The drivers: one file or one folder each, and one line in `providers/registry.py`. None imports another."""
