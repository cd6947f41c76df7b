"""Files with bytes missing or changed, and what a reader says of them."""

import numpy as np


def damaged_copies(whole, step, count):
    """Return a file's bytes cut off after every `step`, and `count` times with a few changed."""
    rng = np.random.default_rng(0)
    copies = [whole[:n] for n in range(0, len(whole), step)]
    for _ in range(count):
        data = bytearray(whole)
        for k in rng.integers(len(data), size=rng.integers(1, 6)):
            data[k] = rng.integers(256)
        copies.append(bytes(data))
    return copies


def count_refusals(read, path, copies):
    """Return how many copies a reader refuses: by a ValueError with the path, and nothing else."""
    refused = 0
    for data in copies:
        path.write_bytes(data)
        try:
            read(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    return refused
