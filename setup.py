"""Everything is in pyproject.toml, except that specs/ and schemas/ ship inside the package.

They stay at the top of the repository, where people look for them; only this file can say both.
"""

from setuptools import find_packages, setup

DATA = {"declarative_ml.specs": "specs", "declarative_ml.schemas": "schemas"}

setup(packages=[*find_packages(include=["declarative_ml*"]), *DATA], package_dir=DATA)
