import sys

from declarative_ml.models.lightgbm_import import _import_alone


def test_finders_that_another_thread_walks_are_left_alone() -> None:
    """Threads import at the same time: a list that shrinks under a walk makes it skip a finder."""
    walked = sys.meta_path
    before = list(walked)
    _import_alone.__wrapped__()
    assert walked == before
    assert sys.meta_path == before
