"""Everything is in pyproject.toml, except two things that only this file can say.

specs/ and schemas/ ship inside the package and stay at the top of the repository, where people look for
them. And the fast readers of texts and the hashes of rows are compiled where Cython and a compiler are at
hand: without them the package does the same, slower on text columns. The one that reads spaCy's tokens needs
spaCy as well, which pip's isolated builds do not have: `make setup` builds it in place.
"""

import re
from importlib.metadata import PackageNotFoundError, version

from setuptools import Extension, find_packages, setup

DATA = {"declarative_ml.specs": "specs", "declarative_ml.schemas": "schemas"}


def extensions() -> list[Extension]:
    """What can be compiled here."""
    plain = [
        Extension("declarative_ml.core._row_hash", ["declarative_ml/core/_row_hash.pyx"], optional=True),
        Extension("declarative_ml.text._lexicon", ["declarative_ml/text/_lexicon.pyx"], optional=True),
    ]
    if not (3, 8, 2) <= installed_spacy() < (3, 9):
        return plain
    import numpy

    linguistics = Extension(
        "declarative_ml.text._linguistics",
        ["declarative_ml/text/_linguistics.pyx"],
        include_dirs=[numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        language="c++",
        optional=True,
    )
    return [*plain, linguistics]


def installed_spacy() -> tuple[int, ...]:
    """Its version; (0,) where it is not installed."""
    try:
        return tuple(int(part) for part in re.findall(r"\d+", version("spacy"))[:3])
    except PackageNotFoundError:
        return (0,)


setup(
    packages=[*find_packages(include=["declarative_ml*"]), *DATA],
    package_dir=DATA,
    ext_modules=extensions(),
)
