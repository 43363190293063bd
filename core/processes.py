"""Threads of this process, and how one that has ended is described in messages."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import cache

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Processors that this process may use."""


@cache
def threads(number: int) -> ThreadPoolExecutor:
    """Return threads for compiled loops that let go of the interpreter."""
    return ThreadPoolExecutor(number, thread_name_prefix="loops")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=threads.cache_clear)  # threads do not survive a fork


def exit_reason(who: str, exit_code: int, log: str = "", *, longest: int | None = None) -> str:
    """Return how a process ended, with the last line that it wrote.

    Parameters
    ----------
    who
        The process, as the subject of a sentence.
    exit_code
        Negative: minus the number of the signal that killed it, as `subprocess` has it.
    log
        What it wrote.
    longest
        Characters of the last line that are kept; all by default.

    Examples
    --------
    >>> exit_reason("its worker process", -9)
    'its worker process was killed by SIGKILL'
    >>> exit_reason("it", 3, "starting\\nno licence\\n")
    'it ended with exit code 3; its last output: no licence'
    """
    end = f"was killed by {_signal_name(-exit_code)}" if exit_code < 0 else f"ended with exit code {exit_code}"
    lines = log.strip().splitlines()
    return f"{who} {end}" + (f"; its last output: {lines[-1][:longest]}" if lines else "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
