"""Graphs of ours as TensorFlow graphs."""
