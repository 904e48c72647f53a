"""What is wrong with a TOML file, and where."""

import re
import tomllib

#: How Python words that a name is given a second time.
_TWICE = (
    (re.compile(r"Cannot overwrite a value"), "a key is given twice"),
    (re.compile(r"Cannot declare \((.*?),?\) twice"), r"the table \1 is given twice"),
)


def in_toml(error: tomllib.TOMLDecodeError) -> str:
    """Return what is wrong, with its line and column."""
    said = str(error)
    for python, ours in _TWICE:
        said = python.sub(ours, said)
    return said
