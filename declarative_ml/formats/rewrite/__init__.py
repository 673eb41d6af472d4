"""Graphs of ours in other ONNX operators: smaller, of other versions, without tree ensembles."""
