"""Every option of a variant by itself has the same bits on one, two and four threads."""

from test_lstm_kernels import assert_identical
from test_threads import Spy, start_child
from test_variants import VARIANTS, make_problem, run

from numlstm.kernels import _threads

PASSES = {"variant_forward_chunk", "variant_backward_chunk"}


def child_variants():
    spy = Spy()
    for variant in VARIANTS:
        for shape, dtype in (((13, 5, 9, 20), "float32"), ((5, 4, 3, 17), "float64")):
            p = make_problem(
                *shape, variant, n_layers=2, bidirectional=True, lengths="mixed", dtype=dtype
            )
            with _threads.thread_limit(1):
                expected = run(p)
            assert spy.take() == []
            for n in (2, 4):
                with _threads.thread_limit(n):
                    assert_identical(run(p), expected)
                assert {(name, n) for name in PASSES} <= set(spy.take())


def test_every_variant_has_the_same_bits_on_any_number_of_threads():
    start_child("child_variants", module=__name__)
