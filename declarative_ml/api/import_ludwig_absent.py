"""What Ludwig can do and nothing here does: where a config has it off, that is the same."""

from __future__ import annotations

from declarative_ml.api.import_config import is_off
from declarative_ml.api.import_conversion import Conversion
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

ABSENT = frozenset({
    "norm", "norm_params", "residual", "flatten_inputs", "dependencies", "clip", "confidence_penalty",
    "robust_lambda", "class_similarities", "class_similarities_temperature", "fallback_true_label",
    "lowercase", "outlier_strategy", "pretrained_embeddings", "embeddings_on_cpu", "tied", "tied_weights",
    "train_steps", "steps_per_checkpoint", "checkpoints_per_epoch", "increase_batch_size_on_plateau",
    "gradient_clipping", "use_mixed_precision", "compile", "enable_profiling", "bucketing_field",
    "loss_balancing", "dropout_rate", "extra_trees", "min_gain_to_split", "max_delta_step",
    "linear_lambda", "path_smooth", "cegb_penalty_split",
})  # fmt: skip
"""Names of options."""


def leave_out(job: Conversion, path: Keys, node: Node, why: str) -> None:
    """Left out with the reason; carried over where it is off and absent here."""
    if str(path[-1]).removeprefix("fc_") in ABSENT and is_off(node):
        job.carried(path, "always so: there is none here")
    else:
        job.left_out(path, why)
