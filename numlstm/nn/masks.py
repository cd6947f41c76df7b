"""Where the random masks of a variant come from."""

import numpy as np

from numlstm.data.validation import check_integer

SEEDS = 2**31


class MaskSeed:
    """A seed and a count, of which every training pass gets masks of its own.

    Two numbers, so that a file can hold them: what was saved and loaded goes on with the masks
    that would have come.

    Parameters
    ----------
    seed : int
    n_drawn : int
        Training passes so far.
    """

    def __init__(self, seed=0, n_drawn=0):
        self.seed = check_integer("the seed of the masks", seed, 0, SEEDS - 1)
        self.n_drawn = check_integer("the number of masks drawn", n_drawn, 0)

    @classmethod
    def drawn_for(cls, variant, rng):
        """Return a seed drawn from a RandomState, which is left alone where nothing is random."""
        return cls(int(rng.randint(SEEDS)) if variant is not None and variant.is_random else 0)

    def next_rng(self):
        """Return the RandomState of the next pass."""
        rng = np.random.RandomState([self.seed, self.n_drawn % 2**32])
        self.n_drawn += 1
        return rng
