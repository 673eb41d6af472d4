"""The child of `formats.conversion`: python -m declarative_ml.formats.worker FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from declarative_ml.formats.conversion import work

if __name__ == "__main__":
    work(Path(sys.argv[1]))
