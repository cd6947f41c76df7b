"""The sections of the benchmark: what each is called, says and measures."""

from collections.abc import Callable
from typing import NamedTuple

import epochs
import layers
import memory
import number_kinds
import scaling
import start
import streaming


class Section(NamedTuple):
    """A part of the benchmark.

    Attributes
    ----------
    title : str
    columns : list of (str, str, str)
        Title, key of the row, format.
    measure : callable
        Takes the settings, yields rows.
    """

    title: str
    columns: list
    measure: Callable


SECTIONS = {
    "training": Section("training step, B x T x D x H", layers.TRAINING_COLUMNS, layers.training),
    "inference": Section("inference, B x T x D x H", layers.INFERENCE_COLUMNS, layers.inference),
    "step": Section("one streaming step, input 64", streaming.STEP_COLUMNS, streaming.step),
    "generation": Section(
        "character generation", streaming.GENERATION_COLUMNS, streaming.generation
    ),
    "epochs": Section("one epoch, whole training loop", epochs.COLUMNS, epochs.epochs),
    "threads": Section("two threads against one", scaling.THREAD_COLUMNS, scaling.threads),
    "growth": Section("ten times the work", scaling.GROWTH_COLUMNS, scaling.growth),
    "memory": Section("peak memory of a training step", memory.COLUMNS, memory.memory),
    "start": Section("process start to end of a small fit", start.COLUMNS, start.start),
    "numbers": Section("other numbers", number_kinds.COLUMNS, number_kinds.numbers),
}
