"""The bundle as a service: HTTP over `scoring`, and what watches it."""
