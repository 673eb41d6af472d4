"""Everything is in pyproject.toml, except two things that only this file can say.

specs/ and schemas/ ship inside the package and stay at the top of the repository, where people look for
them. And the fast reader of texts is compiled where Cython and a compiler are at hand: without it the
package does the same, slower on text columns.
"""

from setuptools import Extension, find_packages, setup

DATA = {"declarative_ml.specs": "specs", "declarative_ml.schemas": "schemas"}
LEXICON = Extension("declarative_ml.text._lexicon", ["declarative_ml/text/_lexicon.pyx"], optional=True)

setup(packages=[*find_packages(include=["declarative_ml*"]), *DATA], package_dir=DATA, ext_modules=[LEXICON])
