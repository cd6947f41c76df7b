"""The results as a picture."""

import numpy as np

TRAINING, INFERENCE, OTHER, GREY = "#d1495b", "#00798c", "#edae49", "#444444"


def draw(found, path):
    """Draw the results of a run, as they are saved.

    Parameters
    ----------
    found : dict
    path : path
        Of the PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = [(draw_layers, found["rows"]), (draw_jobs, jobs(found["sections"]))]
    panels = [(function, rows) for function, rows in panels if rows]
    if not panels:
        print("no figure to draw: run training, inference, step, generation or epochs")
        return
    heights = [0.42 * len(rows) + 1.2 for _, rows in panels]
    figure = plt.figure(figsize=(10, sum(heights) + 0.6), layout="constrained")
    parts = figure.subfigures(len(panels), 1, height_ratios=heights, squeeze=False)
    for (function, rows), part in zip(panels, parts[:, 0], strict=True):
        function(part, rows)
    figure.suptitle(f"{found['machine']}, {found['threads']} threads, {found['date']}", fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_layers(part, rows):
    """Draw ratio and share of the peak of each case."""
    ratio, share = part.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    works = (("train", "training", TRAINING, -0.2), ("infer", "inference", INFERENCE, 0.2))
    for work, label, color, shift in works:
        shown = [(k, row) for k, row in enumerate(rows) if f"{work}_ms" in row]
        if not shown:
            continue
        at = np.array([k for k, _ in shown]) + shift
        ratios = [row[f"{work}_ratio"] for _, row in shown]
        bars = ratio.barh(at, ratios, 0.38, label=label, color=color)
        ratio.bar_label(bars, fmt="%.2f", padding=2, fontsize=7)
        share.barh(at, [100 * row[f"{work}_share"] for _, row in shown], 0.38, color=color)
    ratio.axvline(1, color=GREY, lw=0.8)
    ratio.margins(x=0.1)
    ratio.set(xlabel="their time / ours (above 1: we are ahead)")
    ratio.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    ratio.set_title("against PyTorch; inference: or onnxruntime, if faster", fontsize=9)
    share.set(xlabel="% of the measured arithmetic peak", xlim=(0, 100))
    share.set_title("speed", fontsize=9)
    ratio.invert_yaxis()
    ratio.legend(frameon=False, fontsize=8)


def jobs(sections):
    """Return (name, ratio) of the whole jobs."""
    found = []
    for row in sections.get("step", []):
        found.append((f"step, {row['name']}, onnxruntime", row["ort_ratio"]))
        found.append((f"step, {row['name']}, PyTorch", row["torch_ratio"]))
    for row in sections.get("generation", []):
        found.append((f"generation, {row['name']}, PyTorch", row["ratio"]))
    for row in sections.get("epochs", []):
        found.append((f"epoch, {row['name']}, PyTorch", row["ratio"]))
    return found


def draw_jobs(part, rows):
    """Draw the ratio of each job, on a logarithmic axis."""
    ax = part.subplots()
    bars = ax.barh(range(len(rows)), [ratio for _, ratio in rows], 0.6, color=OTHER)
    ax.bar_label(bars, fmt="%.2f", padding=2, fontsize=7)
    ax.axvline(1, color=GREY, lw=0.8)
    ax.set_xscale("log")
    ax.margins(x=0.1)
    ax.set(xlabel="their time / ours (above 1: we are ahead)")
    ax.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
    ax.set_title("one step, one character, one epoch", fontsize=9)
    ax.invert_yaxis()
