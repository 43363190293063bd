"""The behaviour that all commands share: consoles, and errors in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from cosim.core.errors import CosimError

if TYPE_CHECKING:
    from rich.console import Console


_NO_WIDTH = 100_000


def terminal(**options: Any) -> Console:
    """Return a console, on the standard output by default."""
    from rich.console import Console  # the help does not need it and prints in two thirds of the time

    return Console(**options)


def wide_terminal() -> Console:
    """Return a console on the standard output that truncates nothing: a file or a pipe has no width to wrap at."""
    console = terminal()
    return console if console.is_terminal else terminal(width=_NO_WIDTH)


def print_error(text: str) -> None:
    """Print one line, however long, to the standard error."""
    terminal(stderr=True, markup=False, highlight=False, soft_wrap=True).print(text)


@contextlib.contextmanager
def one_line(debug: bool, interrupted: str = "") -> Iterator[None]:
    """Turn errors that a user can cause into one line and an exit code; with debug, show the traceback."""
    try:
        yield
    except (CosimError, OSError) as error:
        if debug:
            details = getattr(error, "details", "")
            if details:
                terminal(stderr=True, markup=False, highlight=False).print(details)
            raise
        print_error(f"error: {error}")
        raise typer.Exit(1) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if debug:
            raise
        text = f"error: {type(error).__name__}: {error}; this is unexpected: run again with --debug and report it"
        print_error(text)
        raise typer.Exit(1) from None
    except KeyboardInterrupt as error:
        print_error(interrupted or str(error) or "interrupted")
        raise typer.Exit(130) from None
