"""What all specs share: a frozen model that forbids unknown keys, and references to datasets, models, architectures.

Units everywhere: pixel values lie in [0, 1], and an epsilon or a step is in those units.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

Norm = Literal["l1", "l2", "linf"]
Precision = Literal["exact", "fast"]
Option = bool | int | float | str | tuple[int, ...]

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Epsilon = Annotated[float, Field(ge=0, le=1000)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9@][A-Za-z0-9_.:/@-]*$")]


class Spec(BaseModel):
    """A frozen description of work. Everything is checked at construction; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Reference(Spec):
    """Something named. A bare string stands for the name alone: `"digits"` is `{"name": "digits"}`."""

    name: Name

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Of what is given: an object, or its name alone."""
        whole = handler.resolve_ref_schema(handler(core_schema))
        if handler.mode == "serialization":
            return whole
        name = dict(whole["properties"]["name"]) | {"title": "Name alone"}
        described: dict[str, Any] = {key: whole[key] for key in ("title", "description") if key in whole}
        return {**described, "anyOf": [name, whole | {"title": f"{whole.get('title', cls.__name__)} in full"}]}

    def __str__(self) -> str:
        return self.name


class DatasetRef(Reference):
    """A dataset: one the server knows by name, a stored one (`ds_…`), or what a job makes (`job_…`)."""

    name: Name
    """Registry name (see `GET /v1/datasets`), name of a registered folder, `ds_…` or `job_…`."""
    options: dict[str, Option] = Field(default_factory=dict)
    """Options of a built-in dataset, for example `{"size": 16}` for digits."""
    limit_train: int | None = Field(default=None, ge=1, le=100_000_000)
    """Keep this many training images, the first of a fixed permutation; all when absent."""
    limit_test: int | None = Field(default=None, ge=1, le=100_000_000)
    """Keep this many test images, the first of a fixed permutation; all when absent."""


class ModelRef(Reference):
    """A trained model: a stored one (`mdl_…`), or what a job makes (`job_…`)."""


class UploadRef(Reference):
    """An uploaded file that has wholly arrived (`upl_…`)."""


class JobRef(Reference):
    """A finished job, for its figures (`job_…`)."""


class AttackRef(Reference):
    """An attack that the server knows, with its options."""

    name: Name
    """Registry name, see `GET /v1/attacks`."""
    options: dict[str, Option] = Field(default_factory=dict)
    """Options of the attack, for example `{"loss": "margin", "steps": 50, "restarts": 5}` for pgd."""


class ArchitectureRef(Reference):
    """A network that the server can build, with its options."""

    name: Name
    """Registry name, see `GET /v1/architectures`."""
    options: dict[str, Option] = Field(default_factory=dict)
    """Options of the architecture, for example `{"widths": [8, 16, 32]}` for convnet."""
