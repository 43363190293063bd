"""Signals that end a run: SIGTERM is handled like Ctrl-C, and neither cuts off the writing of what was recorded."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(KeyboardInterrupt):
    """A run that was interrupted; the message says what is left and how to continue."""


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Handle SIGTERM, by which batch systems announce a job's time limit, like Ctrl-C; yield the signals received."""
    received: list[int] = []

    def end(number: int, _: object) -> None:
        received.append(number)
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a job that a shell runs in the background
            signal.signal(signal.SIGINT, signal.default_int_handler)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the block like Ctrl-C, and then the process, unless the caller handles the signal itself."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    received: list[int] = []
    try:
        with interruptible() as received:
            yield
    finally:
        if received:
            os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold the first Ctrl-C back until the block has ended; a second one interrupts it.

    Raises
    ------
    KeyboardInterrupt
        After the block, if Ctrl-C was held back.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    held: list[int] = []

    def hold(number: int, _: object) -> None:
        if held:
            raise KeyboardInterrupt
        held.append(number)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt
