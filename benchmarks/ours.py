"""Our side of a task, through the public interface."""

THREADS = 2  # of every side


class Ours:
    """`numlstm.LSTM` through its public interface."""

    def __init__(self, task):
        self.task = task

    def infer(self):
        """Return the outputs."""
        return self.task.lstm(self.task.X, lengths=self.task.lengths)[0]

    def train(self):
        """Return the gradients of the weights, of X and of the state."""
        self.task.lstm.forward(self.task.X, lengths=self.task.lengths)
        return self.task.lstm.backward(self.task.upstream)
