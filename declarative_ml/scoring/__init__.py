"""Bundle to predictions and explanations, with onnxruntime and numpy only."""
