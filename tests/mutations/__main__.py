"""`python -m tests.mutations [--jobs N] [--every N --turn N] [NAME …]`."""

import argparse
import sys

from rich.console import Console

from tests.mutations.defects import DEFECTS
from tests.mutations.runner import check

parser = argparse.ArgumentParser(prog="tests.mutations", description=__doc__)
parser.add_argument("names", nargs="*", metavar="NAME", help="of a defect; all unless named")
parser.add_argument("--jobs", type=int, default=1, help="suites at a time")
parser.add_argument("--every", type=int, default=1, help="run one of every N defects, in turns")
parser.add_argument("--turn", type=int, default=0, help="another number puts back another share")
given = parser.parse_args()
unknown = sorted(set(given.names) - {defect.name for defect in DEFECTS})
if unknown:
    known = ", ".join(defect.name for defect in DEFECTS)
    sys.exit(f"no such defect: {', '.join(unknown)}; there are {known}")
share = DEFECTS[given.turn % given.every :: given.every]
chosen = [
    defect for defect in (DEFECTS if given.names else share) if not given.names or defect.name in given.names
]
sys.exit(not check(chosen, Console(), given.jobs))
