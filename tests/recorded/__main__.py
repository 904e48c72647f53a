"""`python -m tests.recorded`: show which inputs have another outcome than in the record; `--write` records them."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.recorded import record
from tests.recorded.inputs import SECTIONS


def main() -> int:
    """Return 1 where something differs and is not recorded."""
    arguments = _arguments()
    if arguments.show:
        section, number = arguments.show
        recorded = record.section_recorded(section)[int(number) + 1]
        sys.stdout.write(f"{SECTIONS[section][1](int(number))}\nrecorded: {recorded}\n")
        return 0
    with tempfile.TemporaryDirectory() as directory:
        now = {section: record.section_now(section, Path(directory)) for section in SECTIONS}
    if arguments.write:
        record.write(now)
        return 0
    found = [
        (section, *difference)
        for section, lines in now.items()
        for difference in record.differences(record.section_recorded(section), lines)
    ]
    for section, number, before, after in found:
        sys.stdout.write(f"{section} {number}: {before} -> {after}\n")
    inputs = sum(len(lines) - 1 for lines in now.values())
    sys.stdout.write(f"{len(found)} of {inputs} inputs have another outcome\n")
    return int(bool(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.recorded", description=__doc__)
    parser.add_argument("--write", action="store_true", help="record the outcomes as they are now")
    parser.add_argument(
        "--show", nargs=2, metavar=("SECTION", "NUMBER"), help="print one input and its outcome"
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
