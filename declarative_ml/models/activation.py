"""The functions between layers that torch, numpy and the graph all have."""

from typing import Literal

Activation = Literal["relu", "silu", "gelu", "tanh"]
