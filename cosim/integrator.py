"""What does an integrator type? ``cosim check`` tries an adapter, ``cosim new adapter`` begins one."""

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
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cosim.core.errors import CosimError

if TYPE_CHECKING:
    from .testing import Inspection, Verdict

new = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Begin something of your own.")

_SKELETON = {
    "adapter.txt": "{name}.py",
    "test.txt": "tests/test_{name}.py",
    "pyproject.txt": "pyproject.toml",
    "readme.txt": "README.md",
}
_STDERR = 2  # a descriptor: what replaces sys.stderr may have none
_MARKS = {"passed": "[green]passed[/]", "failed": "[red]FAILED[/]", "excused": "[yellow]excused[/]",
          "skipped": "[dim]skipped[/]"}  # fmt: skip


def check_command(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:CLASS|FILE.py:CLASS|NAME", help="An adapter's class, a function that "
                            "builds one, a cosim.testing.Rig, or the name of an installed adapter.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An argument of the constructor; may be given several times."),
    ] = None,
    step: Annotated[float | None, typer.Option("--step", help="Length of a step, 60 if not given. [s]")] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Longest that a check may take before it is ended. [s]")
    ] = 300.0,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:  # fmt: skip
    """Check that an adapter keeps the contract, and print how to mend what it does not.

    This imports and runs the adapter's code: check only what you trust.
    """
    from .cli import one_line

    with one_line(debug):
        Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True).print(
            f"note: this imports and runs {target}, check only what you trust"
        )
        inspection = _inspection(target, settings or [], step)
        console = Console(emoji=False, highlight=False)
        verdicts = []
        with console.status("checking") as status:
            for name in inspection.names:
                status.update(f"checking: {name}")
                with _where_it_stands(timeout):
                    verdicts.append(inspection.verdict(name))
        console.print(verdict_table(inspection.rig.name, verdicts))
        count = {status: sum(v.status == status for v in verdicts) for status in _MARKS}
        console.print(", ".join(f"{n} {status}" for status, n in count.items() if n))
        if debug:
            for verdict in verdicts:
                if verdict.cause is not None:
                    console.print("".join(traceback.format_exception(verdict.cause)), markup=False)
        if count["failed"]:
            raise typer.Exit(1)


@contextlib.contextmanager
def _where_it_stands(timeout_s: float) -> Iterator[None]:
    """Should the adapter hang or crash this process, end with a traceback of where it was."""
    faulthandler.enable(_STDERR)
    faulthandler.dump_traceback_later(timeout_s, exit=True, file=_STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _inspection(target: str, settings: Sequence[str], step: float | None) -> Inspection:
    from . import plugins
    from .registry import Parameters
    from .testing import Inspection, Rig

    found = plugins.load_object(target) if ":" in target else plugins.load(
        plugins.ADAPTERS, target, otherwise="write module:Class or path/file.py:Class")  # fmt: skip
    options: dict[str, Any] = {} if step is None else {"step_s": step}
    if isinstance(found, Rig):
        if settings or options:
            raise CosimError(f"{target} is a Rig, which knows its arguments and step: leave --set and --step out")
        return Inspection(found)
    if not callable(found):
        raise CosimError(f"{target} is a {type(found).__name__}: name a class, a function that builds one, or a Rig")
    parameters = Parameters(target, found)
    try:
        parameters.values(settings)
    except CosimError as error:
        raise CosimError(f"{error}; or name a function without arguments that builds it, module:function") from error
    return Inspection.of(lambda: found(**parameters.values(settings)), name=found.__name__, **options)


def verdict_table(name: str, verdicts: Sequence[Verdict]) -> Table:
    """Return what every check says of an adapter, with the fix of what fails."""
    table = Table(title=name, title_justify="left")
    for column in ("check", "verdict", "what to do"):
        table.add_column(column)
    for v in verdicts:
        table.add_row(v.check, _MARKS[v.status], escape("\n".join(filter(None, [v.reason, *map(str, v.findings)]))))
    return table


def plugin_table(group: str) -> Table:
    """Return what is installed in an entry point group; what does not load with the reason."""
    from .plugins import KINDS, installed

    table = Table(KINDS[group], "what it is", "from")
    for plugin in installed(group):
        about = f"[red]does not load:[/] {escape(plugin.problem)}" if plugin.problem else escape(plugin.about)
        table.add_row(escape(plugin.name), about, escape(plugin.package))
    return table


@new.callback()
def _group() -> None:
    """Begin something of your own."""


@new.command("adapter")
def new_adapter_command(
    name: Annotated[str, typer.Argument(help="Name of the adapter, as in community_battery.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the folder NAME is made.")] = Path(),
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Write a package with a working, tested adapter, to be changed into yours."""
    from .cli import one_line

    with one_line(debug):
        folder = write_skeleton(name, out)
        console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
        console.print(f"wrote {folder}; try: cd {folder} && python -m pytest")


def write_skeleton(name: str, out: Path) -> Path:
    """Write the skeleton of an adapter package into a new folder and return it.

    Raises
    ------
    CosimError
        If the name is no name for a module, or taken; or the folder exists or cannot be written.
    """
    if not (name.isascii() and name.isidentifier() and name == name.lower()) or name.startswith("_"):
        raise CosimError(
            f"{name!r} cannot name an adapter: write lower-case words joined by underscores, as in community_battery"
        )
    folder = out / name
    if folder.exists():
        raise CosimError(f"{folder} exists: choose another name, or another folder with --out")
    if keyword.iskeyword(name) or importlib.util.find_spec(name) is not None:
        raise CosimError(
            f"{name!r} is a word of Python or an installed module, which it would hide: choose another name"
        )
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
            template = files("cosim").joinpath("skeleton", source).read_text(encoding="utf-8")
            path.write_text(string.Template(template).substitute(words), encoding="utf-8")
    except OSError as error:
        raise CosimError(f"cannot write into {folder}: {error.strerror}; choose another folder with --out") from error
    return folder
