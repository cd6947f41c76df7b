"""Minibatch and full-batch training of networks; knows no estimator."""
