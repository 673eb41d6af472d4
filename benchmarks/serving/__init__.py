"""What a request costs: this service beside others that serve the same model."""
