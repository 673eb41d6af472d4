"""Graphs of ours as SQL."""
