"""Run by another Python, which has kserve: requests of its REST client, what they gave as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

KINDS = {"age": "FP32", "fare": "FP64", "town": "BYTES", "member": "BYTES", "seen": "BYTES"}


def inputs(rows: list[dict[str, Any]], *, binary: bool) -> list[InferInput]:
    found = []
    for name, kind in KINDS.items():
        values = [row[name] for row in rows]
        given = InferInput(name, [len(rows), 1], kind)
        if kind == "BYTES":
            array = np.array([value.encode() if binary else value for value in values], dtype=object)
        else:
            array = np.array(values, dtype=np.float32 if kind == "FP32" else np.float64)
        given.set_data_from_numpy(array.reshape(-1, 1), binary_data=binary)
        found.append(given)
    return found


async def ask(url: str, model: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    found: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, model),
    }
    for name, binary, wanted in (("json", False, None), ("binary", True, True), ("mixed", True, False)):
        outputs = None if wanted is None else [RequestedOutput("probabilities", {"binary_data": wanted})]
        request = InferRequest(model, inputs(rows, binary=binary), request_id=name, request_outputs=outputs)
        answer = await client.infer(url, request, model)
        tensor = next(output for output in answer.outputs if output.name == "probabilities")
        found[name] = {"id": answer.id, "probabilities": tensor.as_numpy().tolist()}
    try:
        await client.infer(url, InferRequest(model, inputs(rows, binary=False)[1:]), model)
    except httpx.HTTPStatusError as error:
        found["error"] = str(error)
    await client.close()
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(sys.argv[1], sys.argv[2], json.load(sys.stdin)))))
