"""How is a study written without Python? As YAML, every word of which is checked, with a JSON Schema for editors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import pydantic
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from cosim.core.errors import InputFileError

from .extra import needs
from .factors import StudyError

if TYPE_CHECKING:
    from .campaign import Study

SCHEMA = Path(__file__).with_name("study.schema.json")
"""The JSON Schema of a study file, for editors."""

Scalar: TypeAlias = bool | int | float | str


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Distribution(_Strict):
    """A distribution of scipy.stats by its name and parameters, as in ``{distribution: uniform, loc: 0, scale: 2}``."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    distribution: Literal[
        "uniform", "norm", "truncnorm", "lognorm", "triang", "beta", "gamma", "expon", "weibull_min", "loguniform",
        "randint", "binom", "poisson",
    ]  # fmt: skip
    __pydantic_extra__: dict[str, float] = Field(init=False)

    def frozen(self) -> Any:
        """Return the distribution of scipy.stats."""
        from scipy import stats

        try:
            return getattr(stats, self.distribution)(**self.__pydantic_extra__)
        except TypeError as error:
            raise StudyError(f"{self.distribution}: {error}") from None


class One(_Strict):
    """One value that is itself a list or a mapping, as in ``{value: [4, 4]}``."""

    value: Any


class Named(_Strict):
    """Levels by their labels, as in ``{levels: {small: [2, 2], large: [6, 6]}}``."""

    levels: dict[str, Any] = Field(min_length=1)


def _form(value: Any) -> str:
    """Tell which form of a factor is meant, so that what is wrong with it is said in that form's words."""
    if isinstance(value, BaseModel):
        return type(value).__name__
    if isinstance(value, list):
        return "list"
    if not isinstance(value, Mapping):
        return "scalar"
    return "One" if "value" in value else "Named" if "levels" in value else "Distribution"


FactorForm: TypeAlias = Annotated[
    Annotated[Scalar, Tag("scalar")] | Annotated[list[Any], Tag("list")] | Annotated[One, Tag("One")]
    | Annotated[Named, Tag("Named")] | Annotated[Distribution, Tag("Distribution")],
    Discriminator(_form),
]  # fmt: skip


class Run(_Strict):
    """How the runs are done; see ``Study.run``."""

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
    name: Annotated[str | None, Field(description="Names the study's folder.")] = None
    design: Annotated[
        Literal["grid", "lhs", "sobol", "morris"] | list[dict[str, Any]],
        Field(description="How points are chosen, or the points themselves."),
    ] = "grid"
    samples: Annotated[int | None, Field(ge=1, description="Size of a design that samples.")] = None
    seeds: Annotated[int | list[int], Field(description="How many, or which.")] = 1
    factors: Annotated[
        dict[str, FactorForm],
        Field(description="Parameters of the builder: one value, a list of levels, or a distribution."),
    ] = Field(default_factory=dict)
    run: Run = Field(default_factory=Run)


def read_study(path: Path, out: Path | None = None) -> tuple[Study, Run]:
    """Return the study that a YAML file describes, and how it is to be run.

    Raises
    ------
    InputFileError
        If the file is missing or not YAML.
    StudyError
        Everything in it that is not as it should be.
    """
    from .campaign import Study

    found = _parsed(path, StudyFile)
    builder = found.builder
    file = (path.parent / builder.partition(":")[0]).resolve()
    if builder.partition(":")[0].endswith(".py"):
        builder = f"{file}{':' if ':' in builder else ''}{builder.partition(':')[2]}"
    factors = {name: _factor(value) for name, value in found.factors.items()}
    study = Study(
        builder, seeds=found.seeds, design=found.design, samples=found.samples, name=found.name or path.stem, out=out,
        **factors,
    )  # fmt: skip
    return study, found.run


def _factor(value: Any) -> Any:
    if isinstance(value, Distribution):
        return value.frozen()
    if isinstance(value, One):
        return {str(value.value): value.value}
    if isinstance(value, Named):
        return value.levels
    return value


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    InputFileError
        If it is missing, no YAML, or gives a key twice.
    """
    with needs("pyyaml", str(path)):
        import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that is given twice, of which YAML would silently take the last."""

        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            names: set[str] = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in names:
                    raise InputFileError(f"{path}, line {key.start_mark.line + 1}: {key.value!r} is given twice: give "
                                         "it once")  # fmt: skip
                names.add(key.value)
            return node

    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path} is no YAML: {' '.join(str(error).split())}") from error


def _parsed(path: Path, model: type[StudyFile]) -> StudyFile:
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        held = "nothing" if content is None else f"a {type(content).__name__}"
        raise InputFileError(f"{path} holds {held}: a study is a mapping, 'builder: …' and so on")
    try:
        return model.model_validate(content)
    except pydantic.ValidationError as error:
        raise StudyError(validation_problems(path, error)) from None


def validation_problems(path: Path, error: pydantic.ValidationError) -> list[str]:
    """Return in words what pydantic found in a file: one problem per place."""
    found: dict[str, str] = {}
    for one in error.errors():
        # a factor's form and the branches of a union are no places of the file
        place = ".".join(str(part) for part in one["loc"] if str(part).islower() and not str(part).endswith("]"))
        text = one["msg"][0].lower() + one["msg"][1:]
        if one["type"] == "extra_forbidden":
            text = "there is no such word"
        found.setdefault(place, text)
    return [f"{path}: {place}: {text}" for place, text in found.items()]


def schema() -> str:
    """Return the JSON Schema of a study file as text."""
    return json.dumps(StudyFile.model_json_schema(), indent=2) + "\n"


