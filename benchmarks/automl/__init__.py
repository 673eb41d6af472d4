"""The quality benchmark: `dml` beside AutoML peers, on the same rows, under the same clock.

    python -m benchmarks.automl.run TABLES_FOLDER

`tables` knows the tables and divides their rows, `entries` who takes part, `environments` gives each peer
its own virtual environment, `contenders` holds one script each, `run` fills a folder of results one cell at a
time, `report` turns that folder into tables.
"""
