"""What the first rows of the data say about the spec: warnings, since the rows below may be different."""

from __future__ import annotations

from declarative_ml.spec.document import Spec
from declarative_ml.spec.doubt import Doubt, Look
from declarative_ml.spec.doubtful_features import silence_doubt, type_doubt
from declarative_ml.spec.doubtful_leaks import leak_doubts
from declarative_ml.spec.doubtful_split import split_doubts
from declarative_ml.spec.doubtful_target import target_doubts
from declarative_ml.spec.sampled_rows import sample_rows


def doubts(spec: Spec) -> list[Doubt]:
    """The likely mistakes that only data shows. Reads at most 1,000 rows, and a few from further down.

    Behind `data.sql` the columns are others than those of the file, so nothing is said.
    """
    if spec.data.sql is not None:
        return []
    sample = sample_rows(spec.data.source, spec.data.missing)
    if sample is None:
        return []
    look = Look(spec, sample)
    found = [*target_doubts(look), *split_doubts(look)]
    leaks = leak_doubts(look)
    for used in look.features:
        silent = None if used.name in leaks else silence_doubt(used, look)
        wrong = type_doubt(used, look)
        found += [doubt for doubt in (leaks.get(used.name), wrong or silent) if doubt is not None]
    return found
