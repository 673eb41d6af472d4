"""`python -m declarative_ml.learning.rank_launcher FOLDER PROCESSES MODULE`: the agent of torchrun.

Starts MODULE in every process of this machine, watches them, and starts all again when one is lost. Other
than with `torchrun`, no port is open to other machines, all end with the run that started them, and the
folder names the process that was lost last.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import write_json
from declarative_ml.learning.rank import end_with_run

MOST_RESTARTS = 3
"""A group that loses a process more often than this fails."""
LOST = "lost.json"


def main(folder: Path, processes: int, module: str) -> int:
    """Run the group to its end. Returns 0, or 1 with the process that was lost in the folder."""
    end_with_run()
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="dml",
        rdzv_backend="c10d",
        rdzv_endpoint=str(folder / "agent"),
        rdzv_configs={"store_type": "file"},
        local_addr="127.0.0.1",
        max_restarts=MOST_RESTARTS,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "logs")),
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, str(folder))
    except ChildFailedError as error:
        write_json(folder / LOST, _first_lost(error.failures))
        return 1
    return 0


def _first_lost(failures: dict[int, Any]) -> dict[str, Any]:
    """The process that was lost by itself: others fail because of it, as they wait for it in vain."""
    number, failure = min(failures.items(), key=lambda item: (item[1].exitcode > 0, item[1].timestamp))
    if failure.exitcode < 0:
        return {"number": number, "reason": f"it was ended by {failure.signal_name()}"}
    message = failure.message
    return {"number": number, "reason": message if isinstance(message, str) else str(message["message"])}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
