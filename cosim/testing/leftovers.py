"""Threads, child processes, files and sockets that this process has open."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path


def open_now() -> set[tuple[object, str]]:
    """Return identity and description of every thread, living child process and open descriptor of this process."""
    threads = {(thread, f"thread {thread.name!r}") for thread in threading.enumerate()}
    return {*threads, *_children(), *_descriptors()}


def left_since(before: set[tuple[object, str]], patience_s: float = 1.0) -> list[str]:
    """Return what is open beyond ``before``, after a moment for resources that are just closing.

    Parameters
    ----------
    before
        An earlier result of `open_now`.
    patience_s
        How long to wait for the last of them to close. [s]
    """
    deadline = time.monotonic() + patience_s
    while (left := open_now() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    return sorted(description for _, description in left)


def _children() -> Iterator[tuple[object, str]]:
    me = os.getpid()
    processes = Path("/proc")
    if (processes / "self" / "stat").exists():
        for stat in processes.glob("[0-9]*/stat"):
            try:
                pid, _, rest = stat.read_text(errors="replace").partition(" (")
            except OSError:  # it has just ended
                continue
            name, _, fields = rest.rpartition(") ")
            state, parent = fields.split()[:2]
            if int(parent) == me and state != "Z":
                yield pid, f"process {pid} ({name})"
        return
    table = subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,stat=,comm="], stdout=subprocess.PIPE, text=True)
    for line in table.communicate()[0].splitlines():
        pid, parent_pid, state, name = line.split(None, 3)
        if int(parent_pid) == me and int(pid) != table.pid and not state.startswith("Z"):
            yield pid, f"process {pid} ({name})"


def _descriptors() -> Iterator[tuple[object, str]]:
    for entry in Path("/dev/fd").iterdir():
        try:
            os.fstat(int(entry.name))
        except OSError:  # the descriptor of this listing itself
            continue
        try:
            name = str(entry.readlink())
        except OSError:  # not a link outside Linux
            name = "file or socket"
        yield (entry.name, name), f"{name} (descriptor {entry.name})"
