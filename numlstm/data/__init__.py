"""Data on its way to a network."""
