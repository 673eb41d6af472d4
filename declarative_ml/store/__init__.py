"""Content-addressed artifacts and the bundle format."""
