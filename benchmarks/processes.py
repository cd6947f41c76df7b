"""Measurements that need a process of their own."""

import json
import os
import subprocess
import sys


def answer_of(*arguments, **environment):
    """Run Python with some arguments; return the JSON of the last line that it prints."""
    output = run_python(*arguments, **environment)
    return json.loads(output.strip().splitlines()[-1])


def run_python(*arguments, **environment):
    """Run Python with some arguments and variables; return what it prints.

    Raises
    ------
    RuntimeError
        With what it printed as an error, if it fails.
    """
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=os.environ | environment,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"python {' '.join(map(str, arguments))} failed:\n{done.stderr}")
    return done.stdout
