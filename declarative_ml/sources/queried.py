"""What sources that answer a query have in common: where they are, and what they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from declarative_ml.core.secret import Secret
from declarative_ml.sources.base import Source
from declarative_ml.sources.query_params import Value, names_in


class QueriedSource(Source):
    """The rows of a table or a query, read anew in every run: what depends on them runs when they changed."""

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    remote: ClassVar[bool] = True

    url: Secret = Field(description="Reference to the address")
    query: str | None = Field(
        default=None, min_length=1, description="The SELECT whose rows are read; it cannot write"
    )
    table: str | None = Field(
        default=None, min_length=1, description="In place of a query: a table, such as shop.orders"
    )
    params: dict[str, Value] = Field(
        default_factory=dict, description="Values for the :names in the query; the driver binds them"
    )

    @field_validator("query")
    @classmethod
    def _one_statement(cls, query: str | None) -> str | None:
        return None if query is None else query.strip().rstrip(";").rstrip()

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.query is None) == (self.table is None):
            raise ValueError("give either 'query' or 'table'")
        if self.params:
            asked = names_in(self.query or "")
            if absent := [name for name in asked if name not in self.params]:
                raise ValueError(f"'params' do not give :{absent[0]}, for which the query asks")
            if idle := [name for name in self.params if name not in asked]:
                raise ValueError(f"'params' give {idle[0]}, but the query has no :{idle[0]}")
        return self

    def resolved(self, base: Path) -> Self:
        """The same source with the path of a secret's file made absolute against `base`."""
        return self.model_copy(update={"url": self.url.resolved(base)})

    def described(self) -> str:
        """What is asked for."""
        return f"the rows of the {self.type} query" if self.table is None else f"the table {self.table}"

    def options_for_key(self) -> dict[str, object]:
        """What is asked for, and the name under which the address is kept."""
        asked = {"query": self.query, "table": self.table, "params": self.params}
        return {"url": self.url.reference} | {name: value for name, value in asked.items() if value}
