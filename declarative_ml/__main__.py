"""`python -m declarative_ml` is `dml`."""

from declarative_ml.cli import main

if __name__ == "__main__":
    main()
