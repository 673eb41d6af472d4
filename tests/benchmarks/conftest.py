from __future__ import annotations

import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:  # the benchmarks are not installed with the package
    sys.path.insert(0, ROOT)
