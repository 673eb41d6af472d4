from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from jsonschema import Draft4Validator
from service_client import Client

from declarative_ml.scoring.scorer import Scorer
from declarative_ml.serving.exchange import Limits
from declarative_ml.store.bundle import Bundle

INFER = "/v2/models/guests-stays/infer"


def tensors(rows: list[dict[str, Any]], nested: bool = False) -> list[dict[str, Any]]:
    kinds = {"age": "FP32", "fare": "FP64", "town": "BYTES", "member": "BYTES", "seen": "BYTES"}
    found = []
    for name, datatype in kinds.items():
        values = [row[name] for row in rows]
        shape = [len(rows), 1] if nested else [len(rows)]
        data = [[value] for value in values] if nested else values
        found.append({"name": name, "shape": shape, "datatype": datatype, "data": data})
    return found


def expected(bundle: Bundle, rows: list[dict[str, Any]]) -> list[float]:
    scored = Scorer(bundle).predict_rows(rows)
    assert scored.probabilities is not None
    found: list[float] = scored.probabilities.reshape(-1).tolist()
    return found


@pytest.mark.parametrize("nested", [False, True])
def test_json_tensors(
    stays: Client, bundle_of: Callable[[str], Bundle], rows: list[dict[str, Any]], nested: bool
) -> None:
    reply = stays.post(INFER, {"id": "42", "inputs": tensors(rows[:5], nested)})
    assert reply.status == 200
    found = reply.json
    assert (found["model_name"], found["id"]) == ("guests-stays", "42")
    assert [(item["name"], item["datatype"], item["shape"]) for item in found["outputs"]] == [
        ("prediction", "BYTES", [5, 1]),
        ("probabilities", "FP32", [5, 2]),
    ]
    assert found["outputs"][1]["data"] == pytest.approx(expected(bundle_of("stays"), rows[:5]))


def test_the_answer_has_an_id_and_the_outputs_asked_for(stays: Client, row: dict[str, Any]) -> None:
    found = stays.post(INFER, {"inputs": tensors([row]), "outputs": [{"name": "probabilities"}]}).json
    assert found["id"]
    assert [item["name"] for item in found["outputs"]] == ["probabilities"]


def binary(
    rows: list[dict[str, Any]], change: Callable[[bytes], bytes] = lambda body: body
) -> tuple[bytes, bytes]:
    """The JSON part and the bytes behind it, as Triton's client sends them."""
    import json

    blobs, inputs = [], []
    for item in tensors(rows):
        if item["datatype"] == "BYTES":
            texts = [(value or "").encode() for value in item.pop("data")]
            blob = b"".join(struct.pack("<I", len(text)) + text for text in texts)
        else:
            numbers = [np.nan if value is None else value for value in item.pop("data")]
            blob = np.array(numbers, "<f4" if item["datatype"] == "FP32" else "<f8").tobytes()
        inputs.append({**item, "parameters": {"binary_data_size": len(blob)}})
        blobs.append(blob)
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return header, b"".join(blobs)


def test_binary_tensors(
    stays: Client, bundle_of: Callable[[str], Bundle], rows: list[dict[str, Any]]
) -> None:
    header, blobs = binary(rows)
    reply = stays.post(INFER, header + blobs, inference_header_content_length=str(len(header)))
    assert reply.status == 200
    length = int(reply.headers["inference-header-content-length"])
    probabilities = np.frombuffer(reply.body[-8 * len(rows) :], "<f4")
    assert probabilities.tolist() == pytest.approx(expected(bundle_of("stays"), rows))
    assert reply.body[length : length + 4] == struct.pack(
        "<I", len(b"yes" if reply.body[length + 4 :][:1] == b"y" else b"no")
    )


def test_metadata(stays: Client) -> None:
    found = stays.get("/v2/models/guests-stays").json
    assert found["name"] == "guests-stays"
    assert {item["name"]: item["datatype"] for item in found["inputs"]} == {
        "age": "FP32",
        "fare": "FP32",
        "town": "BYTES",
        "member": "BYTES",
        "seen": "BYTES",
    }
    assert found["parameters"] == {"classes": ["no", "yes"]}
    version = found["versions"][0]
    assert stays.get(f"/v2/models/guests-stays/versions/{version}").json == found
    assert stays.get(f"/v2/models/guests-stays/versions/{version}/ready").json == {
        "name": "guests-stays",
        "ready": True,
    }
    assert stays.get("/v2").json == stays.get("/v2/").json
    assert stays.get("/v2").json["extensions"] == ["binary_tensor_data"]
    assert stays.get("/v2/health/live").json == {"live": True}
    assert stays.get("/v2/health/ready").json["ready"] is True


@pytest.mark.parametrize(("target", "datatype"), [("kind", "INT64"), ("stays", "BYTES"), ("spent", "FP32")])
def test_outputs_have_their_true_types(
    client_of: Callable[..., Client], row: dict[str, Any], target: str, datatype: str
) -> None:
    client = client_of(target)
    found = client.post(f"/v2/models/guests-{target}/infer", {"inputs": tensors([row])}).json["outputs"]
    assert found[0]["datatype"] == datatype
    known = client.get(f"/v2/models/guests-{target}").json["outputs"]
    assert [(item["name"], item["datatype"]) for item in known] == [
        (item["name"], item["datatype"]) for item in found
    ]
    assert [item["name"] for item in found][1:] == (
        ["lower", "upper"] if target == "spent" else ["probabilities"]
    )


def changed(rows: list[dict[str, Any]], place: int, **change: Any) -> dict[str, Any]:
    inputs = tensors(rows)
    inputs[place] = {name: value for name, value in {**inputs[place], **change}.items() if value is not ...}
    return {"inputs": inputs}


WRONG: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "no object": (lambda rows: [], "the request is not an object"),
    "no inputs": (lambda rows: {}, "'inputs' is not a list of tensors"),
    "empty inputs": (lambda rows: {"inputs": []}, "'inputs' is not a list of tensors"),
    "inputs is an object": (lambda rows: {"inputs": {}}, "'inputs' is not a list of tensors"),
    "an input is a number": (lambda rows: {"inputs": [1]}, "an input is not an object with a 'name'"),
    "no name": (lambda rows: changed(rows, 0, name=...), "an input is not an object with a 'name'"),
    "a name that is a number": (
        lambda rows: changed(rows, 0, name=1),
        "an input is not an object with a 'name'",
    ),
    "an unknown name": (lambda rows: changed(rows, 0, name="agee"), "'age'"),
    "a name twice": (lambda rows: changed(rows, 0, name="fare"), "'fare' stands there twice"),
    "no datatype": (lambda rows: changed(rows, 0, datatype=...), "the datatype None is none of"),
    "an unknown datatype": (lambda rows: changed(rows, 0, datatype="FP31"), "the datatype 'FP31' is none of"),
    "a datatype in lower case": (
        lambda rows: changed(rows, 0, datatype="fp32"),
        "the datatype 'fp32' is none of",
    ),
    "no shape": (lambda rows: changed(rows, 0, shape=...), "the shape None is neither"),
    "an empty shape": (lambda rows: changed(rows, 0, shape=[]), "the shape [] is neither"),
    "a negative shape": (lambda rows: changed(rows, 0, shape=[-1]), "the shape [-1] is neither"),
    "a huge shape": (lambda rows: changed(rows, 0, shape=[2**62]), "at most 10,000 are taken"),
    "two columns": (lambda rows: changed(rows, 0, shape=[1, 2]), "the shape [1, 2] is neither"),
    "three dimensions": (lambda rows: changed(rows, 0, shape=[2, 1, 1]), "the shape [2, 1, 1] is neither"),
    "a shape of fractions": (lambda rows: changed(rows, 0, shape=[2.0]), "the shape [2.0] is neither"),
    "a shape of truth": (lambda rows: changed(rows, 0, shape=[True]), "the shape [True] is neither"),
    "no rows": (lambda rows: changed(rows, 0, shape=[0], data=[]), "there are no rows"),
    "fewer values": (lambda rows: changed(rows, 0, data=[1.0]), "the shape says 2 value(s), 'data' holds 1"),
    "more values": (
        lambda rows: changed(rows, 0, data=[1.0] * 3),
        "the shape says 2 value(s), 'data' holds 3",
    ),
    "no data": (lambda rows: changed(rows, 0, data=...), "'data' is not a list"),
    "data is an object": (lambda rows: changed(rows, 0, data={}), "'data' is not a list"),
    "ragged": (lambda rows: changed(rows, 0, data=[[1.0], [1.0, 2.0]]), "[1.0] is not FP32"),
    "texts for numbers": (lambda rows: changed(rows, 0, data=["a", "b"]), "'a' is not FP32"),
    "objects": (lambda rows: changed(rows, 0, data=[{}, {}]), "{} is not FP32"),
    "fractions for integers": (
        lambda rows: changed(rows, 0, datatype="INT8", data=[1.5, 2]),
        "1.5 is not INT8",
    ),
    "beyond the datatype": (
        lambda rows: changed(rows, 0, datatype="INT8", data=[1, 200]),
        "200 is beyond INT8",
    ),
    "numbers for texts": (lambda rows: changed(rows, 2, data=[1, 2]), "1 is not BYTES"),
    "no date": (lambda rows: changed(rows, 4, data=["x", "y"]), "'x' is not a date"),
    "unequal rows": (lambda rows: changed(rows, 0, shape=[1], data=[1.0]), "unequal numbers of rows"),
    "a missing input": (lambda rows: {"inputs": tensors(rows)[1:]}, "'age'"),
    "an id that is a number": (lambda rows: {"id": 1, "inputs": tensors(rows)}, "'id' is not a text"),
    "an unknown output": (
        lambda rows: {"inputs": tensors(rows), "outputs": [{"name": "x"}]},
        "no output 'x'",
    ),
    "an output that is named by an object": (
        lambda rows: {"inputs": tensors(rows), "outputs": [{"name": {}}]},
        "no output {}",
    ),
    "outputs is a text": (lambda rows: {"inputs": tensors(rows), "outputs": ""}, "'outputs' is not a list"),
    "parameters is false": (
        lambda rows: {"inputs": tensors(rows), "parameters": False},
        "'parameters' is not an object",
    ),
    "outputs is an object": (
        lambda rows: {"inputs": tensors(rows), "outputs": {"a": 1}},
        "'outputs' is not a list",
    ),
    "parameters is a list": (
        lambda rows: {"inputs": tensors(rows), "parameters": [1]},
        "'parameters' is not an object",
    ),
    "a flag that is a text": (
        lambda rows: {"inputs": tensors(rows), "parameters": {"binary_data_output": "yes"}},
        "neither true nor false",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_gets_400_and_a_reason(stays: Client, rows: list[dict[str, Any]], name: str) -> None:
    make, said = WRONG[name]
    reply = stays.post(INFER, make(rows[:2]))
    assert reply.status == (413 if name == "a huge shape" else 400)
    assert said in reply.json["error"]


BINARY: dict[str, tuple[Callable[[bytes, bytes], tuple[bytes, str]], str]] = {
    "a length that is no number": (
        lambda head, rest: (head + rest, "x"),
        "is not the length of the JSON part",
    ),
    "a length beyond the body": (
        lambda head, rest: (head + rest, "999999"),
        "is not the length of the JSON part",
    ),
    "bytes missing": (lambda head, rest: (head + rest[:-3], str(len(head))), "is not the size of its bytes"),
    "bytes left": (lambda head, rest: (head + rest + b"xx", str(len(head))), "2 bytes are left behind"),
    "a wrong length of a text": (
        lambda head, rest: (head + rest[:24] + b"\xff\xff\xff\x7f" + rest[28:], str(len(head))),
        "no text with its length before it",
    ),
    "no UTF-8": (
        lambda head, rest: (head + rest[:28] + b"\xff" + rest[29:], str(len(head))),
        "no text with its length before it",
    ),
}


@pytest.mark.parametrize("name", BINARY)
def test_wrong_bytes_get_400_and_a_reason(stays: Client, row: dict[str, Any], name: str) -> None:
    make, said = BINARY[name]
    body, length = make(*binary([row, row]))
    reply = stays.post(INFER, body, inference_header_content_length=length)
    assert reply.status == 400
    assert said in reply.json["error"]


def test_an_infinite_number_is_refused(stays: Client, row: dict[str, Any]) -> None:
    header, rest = binary([{**row, "age": float("inf")}])
    reply = stays.post(INFER, header + rest, inference_header_content_length=str(len(header)))
    assert (reply.status, "not a number" in reply.json["error"]) == (400, True)


def test_answers_fit_the_official_document(
    client_of: Callable[..., Client], shared_data: Path, row: dict[str, Any]
) -> None:
    path = shared_data.parent / "specs-data" / "open-inference-protocol" / "open_inference_rest.yaml"
    if not path.exists():
        pytest.skip("the protocol's OpenAPI document is not beside the shared tables")
    schemas = yaml.safe_load(path.read_text())["components"]["schemas"]

    def check(name: str, value: Any) -> None:
        document = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        Draft4Validator(document).validate(value)

    for target in ("stays", "kind", "spent"):
        client = client_of(target, limits=Limits())
        check(
            "inference_response",
            client.post(f"/v2/models/guests-{target}/infer", {"inputs": tensors([row])}).json,
        )
        check("metadata_model_response", client.get(f"/v2/models/guests-{target}").json)
    check("metadata_server_response", client.get("/v2").json)
    check("inference_error_response", client.post("/v2/models/guests-spent/infer", {}).json)
