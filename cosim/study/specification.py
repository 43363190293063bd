"""Studies as YAML files, fully validated, with a JSON Schema for editors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from cosim.registry.yaml_files import read_checked

from .factors import StudyError
from .study import Study

SCHEMA = resources.files("cosim.study").joinpath("study.schema.json")
"""The JSON Schema of a study file, for editors."""

Scalar: TypeAlias = bool | int | float | str


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Distribution(_Strict):
    """A distribution from scipy.stats by name and parameters, as in ``{distribution: uniform, loc: 0, scale: 2}``."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    distribution: Literal[
        "uniform",
        "norm",
        "truncnorm",
        "lognorm",
        "triang",
        "beta",
        "gamma",
        "expon",
        "weibull_min",
        "loguniform",
        "randint",
        "binom",
        "poisson",
    ]
    __pydantic_extra__: dict[str, float] = Field(init=False)

    def frozen(self) -> Any:
        """Return the frozen distribution from scipy.stats."""
        from scipy import stats

        try:
            return getattr(stats, self.distribution)(**self.__pydantic_extra__)
        except TypeError as error:
            raise StudyError(f"{self.distribution}: {error}") from None


class One(_Strict):
    """A single value that is itself a list or a mapping, as in ``{value: [4, 4]}``."""

    value: Any


class Named(_Strict):
    """Levels by their labels, as in ``{levels: {small: [2, 2], large: [6, 6]}}``."""

    levels: dict[str, Any] = Field(min_length=1)


def _form(value: Any) -> str:
    """Return the form of a factor, so that validation errors refer to this form."""
    if isinstance(value, BaseModel):
        return type(value).__name__
    if isinstance(value, list):
        return "list"
    if not isinstance(value, Mapping):
        return "scalar"
    return "One" if "value" in value else "Named" if "levels" in value else "Distribution"


FactorForm: TypeAlias = Annotated[
    Annotated[Scalar, Tag("scalar")]
    | Annotated[list[Any], Tag("list")]
    | Annotated[One, Tag("One")]
    | Annotated[Named, Tag("Named")]
    | Annotated[Distribution, Tag("Distribution")],
    Discriminator(_form),
]


class RunSettings(_Strict):
    """Settings of the runs; see ``Study.run``."""

    workers: Annotated[int, Field(ge=1)] = 1
    record: Literal["indicators", "everything"] | list[str] = "indicators"
    timeout: float | str | None = None
    memory: float | str | None = None
    retries: Annotated[int, Field(ge=0)] = 1
    checkpoint_every: float | str | None = None
    scratch: str | None = None


class StudyFile(_Strict):
    """A study: a builder, a design of its parameters, seeds."""

    builder: Annotated[str, Field(description="A registered scenario, FILE.py, or FILE.py:function.")]
    name: Annotated[str | None, Field(description="Name of the study, used for its folder.")] = None
    design: Annotated[
        Literal["grid", "lhs", "sobol", "morris"] | list[dict[str, Any]],
        Field(description="Type of design, or a list of points."),
    ] = "grid"
    samples: Annotated[int | None, Field(ge=1, description="Size of a sampled design.")] = None
    seeds: Annotated[int | list[int], Field(description="Number of seeds, or a list of seeds.")] = 1
    factors: Annotated[
        dict[str, FactorForm],
        Field(description="Parameters of the builder: a value, a list of levels, or a distribution."),
    ] = Field(default_factory=dict)
    run: RunSettings = Field(default_factory=RunSettings)


def read_study(path: Path, out: Path | None = None) -> tuple[Study, RunSettings]:
    """Return the study that a YAML file describes, and the settings of its runs.

    Raises
    ------
    InputFileError
        If the file is missing or not YAML.
    ScenarioError
        If its content is invalid.
    """
    found = read_checked(path, StudyFile, "a study must be a mapping, 'builder: …' and so on", "study")
    builder = found.builder
    file = (path.parent / builder.partition(":")[0]).resolve()
    if builder.partition(":")[0].endswith(".py"):
        builder = f"{file}{':' if ':' in builder else ''}{builder.partition(':')[2]}"
    factors = {name: _factor(value) for name, value in found.factors.items()}
    study = Study(
        builder,
        seeds=found.seeds,
        design=found.design,
        samples=found.samples,
        name=found.name or path.stem,
        out=out,
        **factors,
    )
    study.defined_in = str(path.resolve())
    return study, found.run


def _factor(value: Any) -> Any:
    if isinstance(value, Distribution):
        return value.frozen()
    if isinstance(value, One):
        return {str(value.value): value.value}
    if isinstance(value, Named):
        return value.levels
    return value


def schema() -> str:
    """Return the JSON Schema of a study file as text."""
    return json.dumps(StudyFile.model_json_schema(), indent=2) + "\n"
