"""`python -m tests.mutations [--jobs N] [NAME …]`."""

import argparse
import sys

from rich.console import Console

from tests.mutations.defects import DEFECTS
from tests.mutations.runner import check

parser = argparse.ArgumentParser(prog="tests.mutations", description=__doc__)
parser.add_argument("names", nargs="*", metavar="NAME", help="of a defect; all unless named")
parser.add_argument("--jobs", type=int, default=1, help="suites at a time")
given = parser.parse_args()
unknown = sorted(set(given.names) - {defect.name for defect in DEFECTS})
if unknown:
    known = ", ".join(defect.name for defect in DEFECTS)
    sys.exit(f"no such defect: {', '.join(unknown)}; there are {known}")
chosen = [defect for defect in DEFECTS if not given.names or defect.name in given.names]
sys.exit(not check(chosen, Console(), given.jobs))
