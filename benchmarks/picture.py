"""The results as a picture: who is ahead, by how much, and how near the machine's limit we are."""

import math

TRAINING, INFERENCE, GREY = "#d1495b", "#00798c", "#444444"
PYTORCH, ONNXRUNTIME = "#8d6cab", "#30638e"
TICKS = [0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100]
AHEAD = "their time / ours, logarithmic: right of 1 we are ahead"
AIM = 75  # % of the peak, for large layers


def draw(found, path):
    """Draw the results of a run.

    Parameters
    ----------
    found : dict
        As it is saved.
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
    heights = [0.3 * len(rows) + 1.2 for _, rows in panels]
    figure = plt.figure(figsize=(10, sum(heights) + 0.5), layout="constrained")
    parts = figure.subfigures(len(panels), 1, height_ratios=heights, squeeze=False)
    for (function, rows), part in zip(panels, parts[:, 0], strict=True):
        function(part, rows)
    figure.suptitle(
        "numlstm {numlstm} against PyTorch {torch} and onnxruntime {onnxruntime}\n"
        "{machine}, {threads} threads, {date}".format(**found),
        fontsize=9,
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_ratios(ax, places, ratios, height, **style):
    """Draw bars that go from 1 to each ratio on a logarithmic axis, and write the ratio there."""
    ax.barh(places, [ratio - 1 for ratio in ratios], height, left=1, **style)
    for place, ratio in zip(places, ratios, strict=True):
        ax.annotate(
            f"{ratio:.2f}", (ratio, place), (3 if ratio >= 1 else -3, 0),
            textcoords="offset points", fontsize=7, va="center",
            ha="left" if ratio >= 1 else "right",
        )  # fmt: skip


def finish_ratios(ax, names, ratios):
    """Set the axes of a panel of ratios."""
    ax.axvline(1, color=GREY, lw=0.8)
    low, high = min(1, *ratios), max(1, *ratios)
    room = (high / low) ** 0.12  # for the figures
    low, high = low / (room if low < 1 else 1.02), high * room
    ax.set(xscale="log", xlim=(low, high), xlabel=AHEAD)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    if math.log(high / low) > 3:  # no room for all
        ticks = [tick for tick in ticks if tick not in (1.5, 3)]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_ylim(len(names) - 0.4, -0.6)


def draw_layers(part, rows):
    """Draw ratio and share of the peak of each case."""
    ax, share = part.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    works = (("train", "training", TRAINING, -0.2), ("infer", "inference", INFERENCE, 0.2))
    shown = []
    for work, label, color, shift in works:
        places = [k + shift for k, row in enumerate(rows) if f"{work}_ms" in row]
        ratios = [row[f"{work}_ratio"] for row in rows if f"{work}_ms" in row]
        if not ratios:
            continue
        shares = [100 * row[f"{work}_share"] for row in rows if f"{work}_ms" in row]
        draw_ratios(ax, places, ratios, 0.38, color=color, label=label)
        share.barh(places, shares, 0.38, color=color)
        shown += ratios
    finish_ratios(ax, [row["name"] for row in rows], shown)
    ax.set_title("training against PyTorch, inference against the faster of both", fontsize=9)
    share.axvline(AIM, color=GREY, lw=0.8, ls=":")
    share.set(xlabel="% of the measured peak", xlim=(0, 100))
    share.set_title(f"dotted: {AIM} %, the aim of training at H >= 256, B >= 32", fontsize=9)
    share.tick_params(axis="y", length=0)
    part.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)


def jobs(sections):
    """Return (name, rival, ratio) of the jobs that are not one layer on whole sequences."""
    found = []
    for row in sections.get("step", []):
        found.append((f"step, {row['name']}", "onnxruntime", row["ort_ratio"]))
        found.append((f"step, {row['name']}", "PyTorch", row["torch_ratio"]))
    for job in ("generation", "epochs"):
        for row in sections.get(job, []):
            found.append((f"{job.removesuffix('s')}, {row['name']}", "PyTorch", row["ratio"]))
    return found


def draw_jobs(part, rows):
    """Draw the ratio of each job."""
    ax = part.subplots()
    for rival, color in (("PyTorch", PYTORCH), ("onnxruntime", ONNXRUNTIME)):
        places = [k for k, row in enumerate(rows) if row[1] == rival]
        if places:
            ratios = [rows[k][2] for k in places]
            draw_ratios(ax, places, ratios, 0.6, color=color, label=f"against {rival}")
    finish_ratios(ax, [name for name, _, _ in rows], [ratio for _, _, ratio in rows])
    ax.set_title("one step, one character, one epoch", fontsize=9)
    part.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
