"""SUMO's wheel: where it stands, and its programs and Python tools as functions."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cosim.core.errors import CosimError


def sumo_home() -> Path:
    """Return the folder of the installed SUMO wheel, without importing it (which changes the environment)."""
    spec = importlib.util.find_spec("sumo")
    if spec is None or not spec.submodule_search_locations:
        raise CosimError("SUMO is not installed: pip install eclipse-sumo")
    return Path(next(iter(spec.submodule_search_locations)))


def sumo_binary(name: str) -> Path:
    """Return the path of one of SUMO's programs.

    Examples
    --------
    >>> sumo_binary("netconvert").stem
    'netconvert'
    """
    for path in (sumo_home() / "bin" / name, sumo_home() / "bin" / f"{name}.exe"):
        if path.is_file():
            return path
    raise CosimError(f"SUMO's wheel has no program {name!r}: use one as 'sumo', 'netconvert' or 'duarouter'")


def sumo_environment() -> dict[str, str]:
    """Return this process's environment with the places of the wheel's data."""
    home = sumo_home()
    return os.environ | {"SUMO_HOME": str(home), "PROJ_DATA": str(home / "data" / "proj")}


def run_sumo_tool(name: str, *arguments: str | Path, timeout_s: float = 600) -> str:
    """Run one of SUMO's programs and return its output.

    Raises
    ------
    CosimError
        With the program's own message if it fails or takes longer than ``timeout_s``.
    """
    return _run(name, [sumo_binary(name), *arguments], _errors, timeout_s=timeout_s)


def run_sumo_script(name: str, *arguments: str | Path, cwd: Path, timeout_s: float = 3_600) -> str:
    """Run one of the Python tools in SUMO's wheel and return its output.

    Raises
    ------
    CosimError
        With the tool's own last output if it fails or takes longer than ``timeout_s``.
    """
    command = [sys.executable, sumo_home() / "tools" / name, *arguments]
    return _run(name, command, _last_lines, timeout_s=timeout_s, cwd=cwd)


_SHOWN = 3  # errors of a program


def _run(
    name: str,
    command: Sequence[str | Path],
    complaint: Callable[[subprocess.CompletedProcess[str]], list[str]],
    *,
    timeout_s: float,
    cwd: Path | None = None,
) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, env=sumo_environment(), capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as error:
        raise CosimError(f"{name} was still running after {timeout_s:g} s: simplify its input") from error
    if done.returncode:
        raise CosimError(f"{name} failed: {' '.join(complaint(done)) or 'it gave no reason'}")
    return done.stdout + done.stderr


def _errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    lines = done.stderr.splitlines()
    errors = [line for line in dict.fromkeys(lines) if line.startswith("Error")] or lines
    return errors if len(errors) <= _SHOWN else [*errors[:_SHOWN], f"(and {len(errors) - _SHOWN} more)"]


def _last_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return (done.stderr or done.stdout).strip().splitlines()[-3:]
