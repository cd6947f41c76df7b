"""`.ci/coverage_limits.py`: each file of the Python floors, and the kernels together."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / ".ci" / "coverage_limits.py"


def judge(shares):
    """Return exit code and words for files by name, and how many of 1000 lines are covered."""
    files = {
        f"numlstm/{name}.py": {"summary": {"covered_lines": covered, "num_statements": 1000}}
        for name, covered in shares.items()
    }
    files["numlstm/__init__.py"] = {"summary": {"covered_lines": 0, "num_statements": 0}}
    run = subprocess.run(
        [sys.executable, str(SCRIPT)], input=json.dumps({"files": files}), capture_output=True,
        text=True,
    )  # fmt: skip
    assert not run.stderr
    return run.returncode, run.stdout


def test_a_file_below_95_percent_is_too_little():
    assert judge({"cli": 950, "nn/lstm": 1000}) == (0, "")
    code, said = judge({"cli": 949, "nn/lstm": 1000, "nn/dense": 500})
    assert code == 1
    assert [line.split(" of its")[0] for line in said.splitlines()] == [
        "numlstm/cli.py: 94.9 %",
        "numlstm/nn/dense.py: 50.0 %",
    ]


def test_kernels_count_together_and_by_themselves():
    """One that only the compiler runs has no lines that are seen to run."""
    half_seen = {"kernels/lstm": 900, "kernels/bptt": 1000}
    assert judge({"cli": 950} | half_seen) == (0, "")
    code, said = judge({"cli": 1000, "kernels/bptt": 949})
    assert code == 1 and said.startswith("numlstm/kernels, all files: 94.9 %")
