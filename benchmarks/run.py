"""The benchmark: our LSTM against PyTorch's and onnxruntime's, and against the project's targets.

    python benchmarks/run.py [--sections training,inference,...] [--seconds S]
                             [--text FILE] [--json FILE] [--plot PNG]

Everything is float32, on two threads, in one process and in turns, medians of paired runs, unless
a section says otherwise. Ratios above 1: we are ahead. Absolute times drift with the machine.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import criteria
import table
from machine import Peak, describe
from ours import THREADS
from picture import draw
from texts import load_text

from numlstm.kernels._threads import thread_limit

try:
    import torch
    from sections import SECTIONS
except ModuleNotFoundError as error:
    raise SystemExit(
        f"the benchmark compares with PyTorch and onnxruntime: pip install -e '.[bench]' ({error})"
    ) from None


class Settings(NamedTuple):
    """What the sections are told: seconds for each figure, a text to learn or None, the limit."""

    seconds: float
    text: str | None
    peak: Peak


def run_section(section, settings):
    """Return the rows of a section; print each when it is there."""
    print(table.head(section.title, section.columns), flush=True)
    rows = []
    for row in section.measure(settings):
        settings.peak.measure()
        print(table.line(row, section.columns), flush=True)
        rows.append(row)
    return rows


def layer_rows(results):
    """Return the rows of training and inference as one row for each case."""
    merged = {}
    for section in ("training", "inference"):
        for row in results.get(section, []):
            merged.setdefault(row["name"], {}).update(row)
    return list(merged.values())


def document(machine, settings, results):
    """Return all that goes into the file."""
    others = {k: rows for k, rows in results.items() if k not in ("training", "inference")}
    return {
        **machine, "threads": THREADS, "seconds": settings.seconds,
        "peak_gflops": settings.peak.gflops,
        "rows": layer_rows(results), "sections": others, "criteria": criteria.judge(results),
    }  # fmt: skip


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sections", default=",".join(SECTIONS), help=f"some of {','.join(SECTIONS)}"
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="for each side of each figure (default: 2)"
    )
    parser.add_argument("--text", metavar="FILE", help="to learn; tiny-shakespeare by default")
    parser.add_argument("--json", metavar="FILE", help="write the results here")
    parser.add_argument("--plot", metavar="PNG", help="draw them here")
    options = parser.parse_args(arguments)
    options.sections = options.sections.split(",")
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"--sections: no {', '.join(sorted(unknown))} in {','.join(SECTIONS)}")
    if not options.seconds > 0:
        parser.error(f"--seconds must be above 0, got {options.seconds}")
    return options


def main(arguments=None):
    """Measure, print, save and draw."""
    options = parse(arguments)
    text = load_text(options.text) if "epochs" in options.sections else None
    machine, results = describe(), {}
    torch.set_num_threads(THREADS)
    with thread_limit(THREADS):
        peak = Peak()
        settings = Settings(options.seconds, text, peak)
        print("\n".join(f"{key}: {value}" for key, value in machine.items()))
        print(f"threads: {THREADS}; peak of the register tile: {peak.gflops:.0f} GFLOP/s")
        for name in options.sections:
            results[name] = run_section(SECTIONS[name], settings)
            found = document(machine, settings, results)
            if options.json:  # after each section: a run that is stopped leaves what it has
                Path(options.json).write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(f"\npeak of the register tile over the whole run: {peak.gflops:.0f} GFLOP/s")
    print("\n".join(criteria.lines(found["criteria"])))
    if options.plot:
        draw(found, options.plot)


if __name__ == "__main__":
    main()
