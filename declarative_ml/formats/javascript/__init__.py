"""What runs in a browser or in Node."""
