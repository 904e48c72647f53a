"""How wrong input is named, whatever read it: the place of a fault, and what is wrong in plain words.

locs      the place of a fault in a document
wording   what pydantic finds wrong, in plain words
assignments   texts like `KEY = VALUE`
toml      what is wrong with a TOML file
"""
