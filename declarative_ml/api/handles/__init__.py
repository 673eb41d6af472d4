"""What the Python API hands out: thin objects over the functions that the verbs call, drawn in notebooks."""
