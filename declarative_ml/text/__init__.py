"""Text as numbers: what a token is, which terms are known, and what they mean together."""
