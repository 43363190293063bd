"""The commands for integrators: ``cosim check`` checks an adapter, ``cosim new adapter`` creates one."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib.util
import keyword
import string
import traceback
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosim.core.errors import CosimError

from .shell import one_line, terminal

if TYPE_CHECKING:
    from cosim.testing import Inspection

new = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Create a package from a template.")

_SKELETON = {
    "adapter.txt": "{name}.py",
    "test.txt": "tests/test_{name}.py",
    "pyproject.txt": "pyproject.toml",
    "readme.txt": "README.md",
}
_STDERR = 2  # a descriptor: a replacement of sys.stderr may have none


def check_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:CLASS|FILE.py:CLASS|NAME",
            help="An adapter's class, a function that "
            "builds one, a cosim.testing.Rig, or the name of an installed adapter.",
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An argument of the constructor; may be repeated."),
    ] = None,
    step: Annotated[float | None, typer.Option("--step", help="Length of a step; 60 by default. [s]")] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Time limit of a check. [s]")] = 300.0,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Check that an adapter satisfies the contract, and print the fix for every violation.

    This imports and runs the adapter's code: check only what you trust.
    """
    from .tables import MARKS, verdict_table

    with one_line(debug):
        terminal(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True).print(
            f"note: this imports and runs {target}, check only what you trust"
        )
        inspection = _inspection(target, settings or [], step)
        console = terminal(emoji=False, highlight=False)
        verdicts = []
        with console.status("checking") as status:
            for name in inspection.names:
                status.update(f"checking: {name}")
                with _where_it_stands(timeout):
                    verdicts.append(inspection.verdict(name))
        console.print(verdict_table(inspection.rig.name, verdicts))
        count = {status: sum(v.status == status for v in verdicts) for status in MARKS}
        console.print(", ".join(f"{n} {status}" for status, n in count.items() if n))
        if debug:
            for verdict in verdicts:
                if verdict.cause is not None:
                    console.print("".join(traceback.format_exception(verdict.cause)), markup=False)
        if count["failed"]:
            raise typer.Exit(1)


@contextlib.contextmanager
def _where_it_stands(timeout_s: float) -> Iterator[None]:
    """If the adapter hangs or crashes this process, end with a traceback of the current position."""
    faulthandler.enable(_STDERR)
    faulthandler.dump_traceback_later(timeout_s, exit=True, file=_STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _inspection(target: str, settings: Sequence[str], step: float | None) -> Inspection:
    from cosim.registry import plugins
    from cosim.registry.files import load_object
    from cosim.registry.parameters import Parameters
    from cosim.testing import Inspection, Rig

    found = (
        load_object(target)
        if ":" in target
        else plugins.load(plugins.ADAPTERS, target, otherwise="write module:Class or path/file.py:Class")
    )
    options: dict[str, Any] = {} if step is None else {"step_s": step}
    if isinstance(found, Rig):
        if settings or options:
            raise CosimError(f"{target} is a Rig with its own arguments and step: omit --set and --step")
        return Inspection(found)
    if not callable(found):
        raise CosimError(f"{target} is of type {type(found).__name__}: name a class, a function or a Rig")
    parameters = Parameters(target, found)
    try:
        parameters.values(settings)
    except CosimError as error:
        raise CosimError(f"{error}; or name a function without required arguments, module:function") from error
    return Inspection.of(lambda: found(**parameters.values(settings)), name=found.__name__, **options)


@new.callback()
def _group() -> None:
    """Create a package from a template."""


@new.command("adapter")
def new_adapter_command(
    name: Annotated[str, typer.Argument(help="Name of the adapter, such as community_battery.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Parent of the new folder NAME.")] = Path(),
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Create a package with a working, tested adapter as a starting point."""
    with one_line(debug):
        folder = write_skeleton(name, out)
        console = terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
        console.print(f"wrote {folder}; try: cd {folder} && python -m pytest")


def write_skeleton(name: str, out: Path) -> Path:
    """Write the skeleton of an adapter package into a new folder and return it.

    Raises
    ------
    CosimError
        If the name is invalid or taken, or the folder exists or cannot be written.
    """
    if not (name.isascii() and name.isidentifier() and name == name.lower()) or name.startswith("_"):
        raise CosimError(
            f"{name!r} is not a valid adapter name: write lower-case words joined by underscores, as in "
            "community_battery"
        )
    folder = out / name
    if folder.exists():
        raise CosimError(f"{folder} exists: choose another name, or another folder with --out")
    if keyword.iskeyword(name) or importlib.util.find_spec(name) is not None:
        raise CosimError(f"{name!r} is a Python keyword or would shadow an installed module: choose another name")
    words = {
        "name": name,
        "project": name.replace("_", "-"),
        "words": name.replace("_", " "),
        "class_name": "".join(part.capitalize() for part in name.split("_")),
    }
    try:
        for source, target in _SKELETON.items():
            path = folder / target.format(name=name)
            path.parent.mkdir(parents=True, exist_ok=True)
            template = files("cosim.cli").joinpath("skeleton", source).read_text(encoding="utf-8")
            path.write_text(string.Template(template).substitute(words), encoding="utf-8")
    except OSError as error:
        raise CosimError(f"cannot write into {folder}: {error.strerror}; choose another folder with --out") from error
    return folder
