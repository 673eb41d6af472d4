"""Plan and Step (frozen, JSON-serialisable), and the ONNX graph builder."""
