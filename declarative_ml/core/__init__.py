"""Errors, components, registry, digests and atomic files. Imports nothing else of ours."""
