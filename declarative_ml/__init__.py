"""declarative-ml: one YAML file in; a tested, explained, portable model out."""

__version__ = "0.1.0"
