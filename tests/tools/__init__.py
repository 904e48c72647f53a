"""Tools for contributors: each is run as `python -m tests.tools.NAME`."""
