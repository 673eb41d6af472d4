"""Networks of one `mlp` that share their weights (TabM: Gorishniy, Kotelnikov & Babenko, ICLR 2025).

Each of K networks reads a shared matrix W through vectors of its own, as diag(in) W diag(out) (BatchEnsemble:
Wen, Tran & Ba, ICLR 2020), has its own biases and last layer, and its own loss. W learns from all of them.

Of the parameters of `mlp_network` the matrices up to the last layer are shared: `weight0` [I, H],
`weight0_codes` [I', H], `weight1` ... [1, H, H']. Beside them are:

    in0, in1 ...     what scales the inputs of a layer, [K, I + I'], [K, H]
    out0, out1 ...   what scales its outputs, [K, H]

Where whole `layers` are shared (TabM-mini) there is `in0` alone, and so are all biases but the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Sharing = Literal["nothing", "weights", "layers"]


def begin_sharing(
    parameters: dict[str, torch.Tensor],
    share: Sharing,
    networks: int,
    columns: torch.Tensor,
    generator: torch.Generator,
) -> dict[str, torch.Tensor]:
    """The parameters to begin with, from those of networks apart.

    The first `in` is a random sign for each network and column of the table (`columns` has that of each
    input), all else is 1: the networks begin apart in what they read and in their last layer.
    """
    import torch

    if share == "nothing":
        return parameters
    found = dict(parameters)
    hidden = sum(name.startswith("bias") for name in parameters) - 1
    signs = torch.randint(0, 2, (networks, int(columns.max()) + 1), generator=generator) * 2.0 - 1.0
    found["in0"] = signs.index_select(1, columns)
    for name in ("weight0", "weight0_codes"):
        found[name] = parameters[name].unflatten(1, (networks, -1))[:, 0].contiguous()
    if share == "weights":
        found["out0"] = torch.ones(networks, found["weight0"].shape[1])
    else:
        found["bias0"] = found["bias0"][: found["weight0"].shape[1]].clone()
    for number in range(1, hidden):
        weight = found[f"weight{number}"] = parameters[f"weight{number}"][:1].clone()
        if share == "weights":
            found[f"in{number}"] = torch.ones(networks, weight.shape[1])
            found[f"out{number}"] = torch.ones(networks, weight.shape[2])
        else:
            found[f"bias{number}"] = found[f"bias{number}"][:1].clone()
    return found


def own_weights(parameters: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each network's own weights and biases as those of networks apart; these pass."""
    if "in0" not in parameters:
        return parameters
    found = {name: tensor for name, tensor in parameters.items() if not name.startswith(("in", "out"))}
    networks = len(parameters["in0"])
    parts = parameters["in0"].t().split([len(parameters["weight0"]), len(parameters["weight0_codes"])])
    for name, part in zip(("weight0", "weight0_codes"), parts, strict=True):
        wide = part[:, :, None] * parameters[name][:, None, :]
        found[name] = (wide * parameters["out0"] if "out0" in parameters else wide).flatten(1)
    if "out0" not in parameters:
        found["bias0"] = parameters["bias0"].repeat(networks)
    for number in range(1, sum(name.startswith("bias") for name in parameters) - 1):
        weight, bias = parameters[f"weight{number}"], parameters[f"bias{number}"]
        if "out0" in parameters:
            outer = parameters[f"in{number}"][:, :, None] * parameters[f"out{number}"][:, None, :]
            found[f"weight{number}"] = weight * outer
        else:
            found[f"weight{number}"] = weight.expand(networks, -1, -1)
            found[f"bias{number}"] = bias.expand(networks, -1, -1)
    return found
