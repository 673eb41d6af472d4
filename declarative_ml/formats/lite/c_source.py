"""C and C++ around a model for TensorFlow Lite Micro: its bytes, the preprocessing, and how to call it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from declarative_ml.formats.base import Original
from declarative_ml.formats.lite.preprocessing import Missing, Preprocessing, Rule, Scale, Table, Value

_BYTES_A_LINE = 16
_WORDS = """
errno i386 linux unix
alignas alignof and asm auto bool break case catch char class compl const constexpr continue default
delete do double else enum explicit export extern false float for friend goto if inline int long mutable
namespace new not nullptr operator or private protected public register restrict return short signed
sizeof static struct switch template this throw true try typedef typeid typename union unsigned using
virtual void volatile while xor
"""
_WORDS_OF_C = frozenset(_WORDS.split())


@dataclass(frozen=True)
class Program:
    """What the source is made of."""

    original: Original
    rules: Preprocessing
    model: bytes
    inputs: Sequence[str]
    """The model's tensors in its order."""
    operators: Sequence[str]
    arena: int
    """Bytes of working memory that the interpreter was seen to need."""

    @property
    def prefix(self) -> str:
        """In front of every name that the source defines."""
        return identifiers([self.original.name])[0]

    @property
    def width(self) -> int:
        """Numbers of the answer."""
        return len(self.original.task.classes) or 1

    def files(self) -> dict[str, str]:
        """Every file by name."""
        return {
            f"{self.prefix}_model.h": self._model_header(),
            f"{self.prefix}_model.c": self._model_source(),
            f"{self.prefix}_encode.h": self._encode_header(),
            f"{self.prefix}_encode.c": _EncodeSource(self).text(),
            f"{self.prefix}_predict.h": self._predict_header(),
            f"{self.prefix}_predict.cc": self._predict_source(),
        }

    def _model_header(self) -> str:
        name = self.prefix
        return _header(
            f"{name}_model",
            [
                "/* The model as a flatbuffer, aligned as the interpreter wants it. */",
                f"extern const unsigned char {name}_model[];",
                f"extern const unsigned int {name}_model_size;",
            ],
        )

    def _model_source(self) -> str:
        lines = [f'#include "{self.prefix}_model.h"', ""]
        lines.append("#ifdef __GNUC__")
        lines.append("__attribute__((aligned(16)))")
        lines += ["#endif", f"const unsigned char {self.prefix}_model[] = {{"]
        for start in range(0, len(self.model), _BYTES_A_LINE):
            part = self.model[start : start + _BYTES_A_LINE]
            lines.append("  " + ", ".join(f"0x{byte:02x}" for byte in part) + ",")
        lines += ["};", f"const unsigned int {self.prefix}_model_size = {len(self.model)};"]
        return "\n".join(lines) + "\n"

    def _encode_header(self) -> str:
        name = self.prefix
        lines = ["#include <stdint.h>", "", "/* One row of raw columns. */", "typedef struct {"]
        for column, field in self.fields().items():
            dtype = next(item.dtype for item in self.original.inputs if item.name == column)
            kind = "float " if dtype == "float32" else "const char *"
            missing = "NAN" if dtype == "float32" else '"" or NULL'
            lines.append(f"  {kind}{field}; /* {_comment(column)}; missing: {missing} */")
        lines += [f"}} {name}_row;", ""]
        for tensor, rules in self.rules.tensors.items():
            lines.append(f"#define {name.upper()}_{tensor.upper()} {len(rules)}")
        lines += ["", "/* Makes the tensors that the model takes. */", f"{self.encode_declaration()};"]
        return _header(f"{name}_encode", lines)

    def fields(self) -> Mapping[str, str]:
        """The member of the row that holds each raw column."""
        names = [column.name for column in self.original.inputs]
        return dict(zip(names, identifiers(names), strict=True))

    def encode_declaration(self) -> str:
        """The head of the function that makes the tensors."""
        tensors = "".join(
            f", {'int32_t' if tensor == 'codes' else 'float'} *{tensor}" for tensor in self.rules.tensors
        )
        return f"void {self.prefix}_encode(const {self.prefix}_row *row{tensors})"

    def _predict_header(self) -> str:
        name, task = self.prefix, self.original.task
        lines = [f'#include "{name}_encode.h"', "", f"#define {name.upper()}_ANSWER {self.width}", ""]
        if task.is_classification:
            lines.append("/* The names of the classes, in the order of the answer. */")
            lines.append(f"extern const char *const {name}_classes[{self.width}];")
            if self.original.threshold is not None:
                limit = c_float(self.original.threshold)
                lines.append("/* The second class is predicted from this probability on. */")
                lines.append(f"#define {name.upper()}_THRESHOLD {limit}")
        what = "a probability for each class" if task.is_classification else "the predicted number"
        lines += [
            "",
            f"/* Writes {what}. 0 when it went well. */",
            f"int {name}_predict(const {name}_row *row, float answer[{self.width}]);",
        ]
        return _header(f"{name}_predict", lines)

    def _predict_source(self) -> str:
        adds = "\n".join(
            f"  if (resolver.{_resolver_method(operator)}() != kTfLiteOk) return nullptr;"
            for operator in self.operators
        )
        tensors = ", ".join(
            f"tflite::GetTensorData<{'int32_t' if tensor == 'codes' else 'float'}>"
            f"(interpreter->input({self.inputs.index(tensor)}))"
            if tensor in self.inputs
            else "nullptr"
            for tensor in self.rules.tensors
        )
        return _PREDICT.format(
            name=self.prefix,
            arena=self.arena,
            count=len(self.operators),
            adds=adds,
            tensors=tensors,
            width=self.width,
            classes=self._classes(),
        )

    def _classes(self) -> str:
        """The definition of the classes' names."""
        names = ", ".join(c_string(each) for each in self.original.task.classes)
        return f"const char *const {self.prefix}_classes[{self.width}] = {{{names}}};\n\n" if names else ""


_PREDICT = """\
#include "{name}_predict.h"

#include "tensorflow/lite/kernels/internal/tensor_ctypes.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
#include "{name}_model.h"

namespace {{

// Seen on a 64-bit machine, so it is more than a 32-bit controller needs.
constexpr int kArena = {arena};
alignas(16) uint8_t arena[kArena];

tflite::MicroInterpreter *Start() {{
  static tflite::MicroMutableOpResolver<{count}> resolver;
{adds}
  static tflite::MicroInterpreter interpreter(tflite::GetModel({name}_model), resolver, arena, kArena);
  return interpreter.AllocateTensors() == kTfLiteOk ? &interpreter : nullptr;
}}

}}  // namespace

{classes}int {name}_predict(const {name}_row *row, float answer[{width}]) {{
  static tflite::MicroInterpreter *interpreter = Start();
  if (interpreter == nullptr) return 1;
  {name}_encode(row, {tensors});
  if (interpreter->Invoke() != kTfLiteOk) return 2;
  const float *found = tflite::GetTensorData<float>(interpreter->output(0));
  for (int i = 0; i < {width}; ++i) answer[i] = found[i];
  return 0;
}}
"""

_FUNCTIONS = """\
static float present(float value, float missing) { return isfinite(value) ? value : missing; }

static float scale(float value, const float *x, const float *slopes, int segments, float start) {
  float rise = 0.0f;
  for (int i = 0; i < segments; ++i) {
    float end = value < x[i] ? x[i] : value > x[i + 1] ? x[i + 1] : value;
    rise += (end - x[i]) * slopes[i];
  }
  return start + rise;
}

static int find(const char *text, const char *const *texts, int count) {
  for (int i = 0; i < count; ++i)
    if (strcmp(text ? text : "", texts[i]) == 0) return i;
  return -1;
}
"""


class _EncodeSource:
    """The C file of the preprocessing: the constants of every rule, and a line for each."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.constants: list[str] = []
        self.lines: list[str] = []
        self.texts: dict[tuple[str, ...], str] = {}

    def text(self) -> str:
        """The whole file."""
        fields = self.program.fields()
        for tensor, rules in self.program.rules.tensors.items():
            for number, rule in enumerate(rules):
                self.lines.append(f"  {tensor}[{number}] = {self._value(rule, fields, tensor)};")
        head = [
            f'#include "{self.program.prefix}_encode.h"',
            "",
            "#include <math.h>",
            "#include <string.h>",
            "",
        ]
        body = [f"{self.program.encode_declaration()} {{", *self._found(), *self.lines, "}"]
        used = [part for part in _FUNCTIONS.split("\n\n") if f"{_defined(part)}(" in "\n".join(body)]
        return "\n".join([*head, *(f"{part.rstrip()}\n" for part in used), *self.constants, "", *body]) + "\n"

    def _found(self) -> Iterable[str]:
        fields = self.program.fields()
        return [
            f"  int {name}_at = find(row->{fields[key[0]]}, {name}, {len(key) - 1});"
            for key, name in self.texts.items()
        ]

    def _value(self, rule: Rule, fields: Mapping[str, str], tensor: str) -> str:
        match rule:
            case Value(column, missing):
                return f"present(row->{fields[column]}, {c_float(missing)})"
            case Missing(column):
                return f"isfinite(row->{fields[column]}) ? 0.0f : 1.0f"
            case Scale(column, missing, x, slopes, start):
                name = f"scale_{fields[column]}"
                self._floats(f"{name}_x", x)
                self._floats(f"{name}_slopes", slopes or (0.0,))
                value = f"present(row->{fields[column]}, {c_float(missing)})"
                return f"scale({value}, {name}_x, {name}_slopes, {len(slopes)}, {c_float(start)})"
            case Table():
                return self._entry(rule, fields[rule.column], tensor)
        raise ValueError(f"there is no C for {rule}")

    def _entry(self, rule: Table, field: str, tensor: str) -> str:
        keys = (rule.column, *(key for key, _ in rule.entries))
        if keys not in self.texts:
            self.texts[keys] = f"texts_{field}_{len(self.texts)}"
            shown = ", ".join(c_string(key) for key in keys[1:])
            self.constants.append(f"static const char *const {self.texts[keys]}[] = {{{shown}}};")
        values = [value for _, value in rule.entries]
        if tensor == "codes":
            shown = ", ".join(str(int(value)) for value in values)
            self.constants.append(f"static const int32_t codes_{field}[] = {{{shown}}};")
            other = str(int(rule.other))
        else:
            self._floats(f"{tensor}_{field}", values)
            other = c_float(rule.other)
        at = f"{self.texts[keys]}_at"
        return f"{at} < 0 ? {other} : {tensor}_{field}[{at}]"

    def _floats(self, name: str, values: Iterable[float]) -> None:
        shown = ", ".join(c_float(value) for value in values)
        self.constants.append(f"static const float {name}[] = {{{shown}}};")


def identifiers(names: Sequence[str]) -> list[str]:
    """A C identifier for each name, all different."""
    made: list[str] = []
    for number, name in enumerate(names):
        plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
        if not plain or plain[0].isdigit():
            plain = f"column_{plain or number}"
        while plain in made or plain in _WORDS_OF_C:
            plain = f"{plain}_{number}"
        made.append(plain)
    return made


def c_string(text: str) -> str:
    """A literal of the text's UTF-8 bytes."""
    shown = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{shown}"'


def c_float(value: float) -> str:
    """A float literal that gives the float32 back."""
    return "NAN" if math.isnan(value) else f"{float(value)!r}f"


def _comment(text: str) -> str:
    """The text as it may stand in a comment."""
    return re.sub(r"[^ -~]", "?", text).replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


def _defined(part: str) -> str:
    """The name of the function that a piece of source defines."""
    found = re.search(r"(\w+)\(", part)
    return found.group(1) if found else ""


def _resolver_method(operator: str) -> str:
    """FULLY_CONNECTED -> AddFullyConnected."""
    name = {"BATCH_MATMUL": "BATCH_MAT_MUL"}.get(operator, operator)
    return "Add" + "".join(part.capitalize() for part in name.split("_"))


def _header(name: str, lines: Sequence[str]) -> str:
    guard = f"{name.upper()}_H"
    opened = ["#ifdef __cplusplus", 'extern "C" {', "#endif"]
    closed = ["#ifdef __cplusplus", "}", "#endif"]
    includes = [line for line in lines if line.startswith("#include")]
    rest = [line for line in lines if not line.startswith("#include")]
    whole = [f"#ifndef {guard}", f"#define {guard}", "", *includes, "", *opened, "", *rest, "", *closed, ""]
    return "\n".join([*whole, f"#endif /* {guard} */"]) + "\n"
