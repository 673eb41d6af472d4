"""Ludwig's preprocessing of a text as options of our feature."""

from __future__ import annotations

from declarative_ml.api.import_config import as_number, as_text, as_truth
from declarative_ml.api.import_conversion import NO_DROP, Conversion
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

_LONGEST_RUN = 3
_MOST_TERMS = 200_000
_READ_WHOLE = "texts are read to their end"
_COUNTED = "terms are counted, not laid out one after another"
_LEFT_OUT = {
    "max_sequence_length": _READ_WHOLE,
    "sequence_length": _READ_WHOLE,
    "sequence_length_limit": _READ_WHOLE,
    "padding": _COUNTED,
    "padding_symbol": _COUNTED,
    "unknown_symbol": _COUNTED,
    "vocab_file": "terms are found in the training rows",
    "pretrained_model_name_or_path": "no pretrained model reads the text",
    "cache_encoder_embeddings": "what texts become is cached by itself",
    "prompt": "there is no language model",
    "computed_fill_value": "Ludwig computes it by itself",
}


def text_option(
    job: Conversion, column: str, path: Keys, key: str, node: Node, options: dict[str, tuple[Keys, Node]]
) -> None:
    """The verdict on one of the `options` of a text's preprocessing, and the feature's own.

    Before version 0.5 there were options for words (`word_most_common`) and for characters.
    """
    _, stated = options.get("tokenizer") or options.get("word_tokenizer") or ((), None)
    tokenizer = as_text(stated)
    key = key.removeprefix("word_")
    if key == "most_common":
        _most_common(job, column, path, node, tokenizer)
    elif key == "ngram_size":
        _longest_run(job, column, path, node, tokenizer)
    elif key == "tokenizer":
        job.changed(path, "features: words, and signs by themselves", "there is one way to read a text")
    elif key in ("missing_value_strategy", "fill_value"):
        why = NO_DROP if as_text(node) == "drop_row" else "texts are not filled"
        job.changed(path, "features: a missing text has no words", why)
    elif key == "lowercase" and as_truth(node):
        job.carried(path, "always so, for A to Z")
    elif key == "lowercase":
        job.left_out(path, "capitals make no difference: A to Z are read as a to z")
    elif key == "compute_idf" and as_truth(node):
        job.carried(path, "always so: rare terms weigh more")
    elif key == "compute_idf":
        job.left_out(path, "rare terms always weigh more")
    elif key.startswith("char_"):
        job.left_out(path, "texts are read as words, not as characters")
    else:
        job.left_out(path, _LEFT_OUT.get(key, "no counterpart for this option of a text"))


def _most_common(job: Conversion, column: str, path: Keys, node: Node, tokenizer: str | None) -> None:
    number = as_number(node)
    if not isinstance(number, int) or not 1 <= number <= _MOST_TERMS:
        job.left_out(path, f"max_terms is a whole number from 1 to {_MOST_TERMS:,}")
        return
    _put(job, column, path, "max_terms", number, "" if tokenizer == "ngram" else "runs of words count too")


def _longest_run(job: Conversion, column: str, path: Keys, node: Node, tokenizer: str | None) -> None:
    number = as_number(node)
    if tokenizer != "ngram":
        job.left_out(path, "Ludwig looks at it for the tokenizer ngram only; here that is ngrams")
    elif not isinstance(number, int) or number < 1:
        job.left_out(path, f"ngrams is a whole number from 1 to {_LONGEST_RUN}")
    else:
        why = "" if number <= _LONGEST_RUN else f"runs of {_LONGEST_RUN} words are the longest"
        _put(job, column, path, "ngrams", min(number, _LONGEST_RUN), why)


def _put(job: Conversion, column: str, path: Keys, option: str, value: int, why: str) -> None:
    """Set an option of the feature; what stands for all texts is told for all of them at once."""
    job.put(("features", column, option), value)
    ours = f"features: {option} {value}"
    if why:
        job.changed(path, ours, why)
    else:
        job.carried(path, ours)
