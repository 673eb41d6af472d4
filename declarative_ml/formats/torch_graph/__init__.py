"""The core of a graph as a torch module."""
