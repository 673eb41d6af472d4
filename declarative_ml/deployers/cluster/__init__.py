"""Carrying rendered objects out in a cluster: apply, compare, wait, roll back, prune, delete, look."""
