"""Files in YAML, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from cosim.core.arguments import shown
from cosim.core.errors import CosimError, InputFileError, ScenarioError

_Scalar = str | int | float | None
Model = TypeVar("Model", bound=pydantic.BaseModel)


def read_yaml(path: Path, extra: str) -> Any:
    """Return the content of a YAML file, plain data only.

    Parameters
    ----------
    path
        The file.
    extra
        The extra of the package that installs PyYAML for this use.

    Raises
    ------
    InputFileError
        If it is missing, not YAML, or has a duplicate key.
    """
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise CosimError(f"{path} needs pyyaml: install it with pip install 'cosim-city[{extra}]'") from error

    class Loader(yaml.SafeLoader):
        """Refuses duplicate keys, of which PyYAML would silently use the last."""

        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            names: set[str] = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in names:
                    raise InputFileError(
                        f"{path}, line {key.start_mark.line + 1}: duplicate key {key.value!r}: write it once"
                    )
                names.add(key.value)
            return node

    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror}") from error
    except RecursionError:
        raise InputFileError(f"{path} is not YAML that can be read: it is nested too deeply") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def read_checked(path: Path, model: type[Model], what: str, extra: str) -> Model:
    """Return the content of a YAML file as a pydantic model.

    Parameters
    ----------
    path, model
        The file and the model.
    what
        What it must hold, for the message, as in ``"feeds are a mapping with streams and ports"``.
    extra
        See `read_yaml`.

    Raises
    ------
    InputFileError
        If the file is missing or not YAML.
    ScenarioError
        If its content is invalid: all problems in one error.
    """
    content = read_yaml(path, extra)
    if not isinstance(content, Mapping):
        raise InputFileError(f"{path} holds {'nothing' if content is None else f'a {type(content).__name__}'}: {what}")
    try:
        return model.model_validate(content)
    except pydantic.ValidationError as error:
        found: dict[str, str] = {}
        for one in error.errors():  # the branches of a union complain of the same place
            found.setdefault(_place(one), _complaint(one))
        raise ScenarioError([": ".join(filter(None, (str(path), *problem))) for problem in found.items()]) from None


def _place(error: Any) -> str:
    place = ""
    for part in error["loc"]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part not in ("str", "float", "int", "bool") and part.lower() == part and "[" not in part:
            place += f".{part}"
    return place.lstrip(".")


def _complaint(error: Any) -> str:
    text = "unknown key" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    if error["type"] not in ("extra_forbidden", "missing", "value_error") and isinstance(error["input"], _Scalar):
        text += f", not {shown(error['input'])}"
    return text
