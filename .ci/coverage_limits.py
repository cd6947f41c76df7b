"""Fail if coverage falls below 95 %: of a file of the Python floors, or of the kernels together.

Read from the standard input what ``coverage json -o -`` writes.
"""

import json
import sys

LIMIT = 95
files = json.load(sys.stdin)["files"]
lines = {name: file["summary"] for name, file in files.items()}
kernels = [lines.pop(name) for name in list(lines) if "numlstm/kernels/" in name]


def percent(*summaries):
    """Return the share of statements that were run."""
    run, all_ = (sum(s[key] for s in summaries) for key in ("covered_lines", "num_statements"))
    return 100 * run / all_ if all_ else 100.0


shares = {name: percent(summary) for name, summary in lines.items()}
shares["numlstm/kernels, all files"] = percent(*kernels)
low = {name: share for name, share in shares.items() if share < LIMIT}
for name, share in low.items():
    print(f"{name}: {share:.1f} % of its lines are run by the tests, less than {LIMIT} %")
sys.exit(bool(low))
