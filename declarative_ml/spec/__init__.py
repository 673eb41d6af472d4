"""The YAML understood: load, document, checks."""
