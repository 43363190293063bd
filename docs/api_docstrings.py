"""A griffe extension that prepares sources for the API reference.

Fields of pydantic models become parameters of their constructors, parameters that share a description keep types of
their own, reStructuredText becomes Markdown, and tables of values are left to the source.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import griffe

_LONGEST_VALUE = 200
"""A value with more characters than this is not shown."""

_SHARED = re.compile(r"^(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)+)\n(?P<text>(?:(?: {4}.*)?\n?)*)", re.M)
_DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.M)
_REFERENCE = re.compile(r"^\.\. \[(\d+)\] ((?:.*\n?)(?: +.*\n?)*)", re.M)


class HouseStyle(griffe.Extension):
    """Prepares what a package defines, once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Prepare every module, class, function and value."""
        for member in _members(pkg):
            if isinstance(member, griffe.Attribute) and len(str(member.value)) > _LONGEST_VALUE:
                member.value = None
            if isinstance(member, griffe.Class) and _is_model(member, pkg):
                _add_constructor(member)
            if member.docstring:
                member.docstring.value = readable(member.docstring.value)


def readable(text: str) -> str:
    """Return a docstring with one entry per parameter, its references as a list and its doctests as code."""
    head, *sections = re.split(r"^(?=\w[\w ]*\n-{3,}$)", text, flags=re.M)
    head = _DOCTEST.sub(r"```pycon\n\g<0>\n```", head)
    for k, section in enumerate(sections):
        if section.startswith(("Parameters", "Attributes")):
            sections[k] = _SHARED.sub(
                lambda match: (
                    "".join(f"{name}\n{match['text'].rstrip()}\n" for name in match["names"].split(", ")) + "\n"
                ),
                section,
            )
        elif section.startswith("References"):
            sections[k] = _REFERENCE.sub(lambda match: f"{match[1]}. {' '.join(match[2].split())}\n", section)
    return re.sub(r"\[(\d+)\]_", r"[\1]", re.sub(r"::$", ":", head + "".join(sections), flags=re.M))


def _members(scope: griffe.Module | griffe.Class) -> Iterator[griffe.Object]:
    for member in list(scope.members.values()):
        if not member.is_alias:
            yield member
            if isinstance(member, griffe.Module | griffe.Class):
                yield from _members(member)


def _is_model(found: griffe.Class, package: griffe.Module) -> bool:
    for base in found.bases:
        path = base if isinstance(base, str) else base.canonical_path
        if path == "pydantic.BaseModel":
            return True
        with contextlib.suppress(KeyError):  # of another package
            parent = package.modules_collection[path]
            parent = parent.final_target if parent.is_alias else parent
            if parent.is_class and _is_model(parent, package):
                return True
    return False


def _add_constructor(model: griffe.Class) -> None:
    """Give a model the signature that pydantic makes of its fields, unless it has a constructor of its own."""
    if "__init__" in model.members:
        return
    fields = [
        griffe.Parameter(
            name, annotation=field.annotation, default=field.value, kind=griffe.ParameterKind.positional_or_keyword
        )
        for name, field in model.members.items()
        if isinstance(field, griffe.Attribute) and field.annotation is not None and "instance-attribute" in field.labels
    ]
    this = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    model.set_member(
        "__init__", griffe.Function("__init__", parameters=griffe.Parameters(this, *fields), returns="None")
    )
