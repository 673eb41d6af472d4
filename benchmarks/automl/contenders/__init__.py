"""One script a contender, run in its own environment: `python -P -m benchmarks.automl.contenders.NAME`."""
