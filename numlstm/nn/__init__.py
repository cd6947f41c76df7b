"""What a network is: weights, layers, the slow twin that defines them, gradient checks."""
