"""Messages with large vectors between two processes, in which only the kernel copies the vectors.

Pickle 5 leaves the memory of arrays out of the message. It is written directly from the array and read directly into
its final buffer: no copy in the sender, and only the read itself in the receiver.
"""

from __future__ import annotations

import pickle
import selectors
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

_COUNT = struct.Struct("<I")
_AT_ONCE = 64  # buffers per system call; the system's limit is 1024


class Wire:
    """One end of a pair of connected sockets.

    Only for a process and its child: whoever can write to one end can run code at the other.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, message: object) -> None:
        """Write a message.

        Raises
        ------
        OSError
            If the other end is closed.
        """
        arrays: list[pickle.PickleBuffer] = []
        head = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
        parts = [memoryview(head), *(array.raw() for array in arrays)]
        sizes = _COUNT.pack(len(parts)) + struct.pack(f"<{len(parts)}Q", *(part.nbytes for part in parts))
        self._write([memoryview(sizes), *parts])

    def poll(self, timeout_s: float | None = None) -> bool:
        """Wait until there is something to read; return False after the timeout."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return bool(selector.select(timeout_s))

    def receive(self) -> Any:
        """Read a message; arrays in it are read-only.

        Raises
        ------
        EOFError
            If the other end is closed.
        """
        (count,) = _COUNT.unpack(self._read(_COUNT.size))
        sizes = struct.unpack(f"<{count}Q", self._read(8 * count))
        head, *arrays = [self._read(size) for size in sizes]
        return pickle.loads(head, buffers=[memoryview(array).toreadonly() for array in arrays])

    def hang_up(self) -> None:
        """End the connection, also while another thread waits for a message."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _write(self, parts: Sequence[memoryview]) -> None:
        left = [part for part in parts if part.nbytes]
        while left:
            sent = self._socket.sendmsg(left[:_AT_ONCE])
            while left and sent >= left[0].nbytes:
                sent -= left.pop(0).nbytes
            if sent:
                left[0] = left[0][sent:]

    def _read(self, size: int) -> bytearray:
        memory = bytearray(size)
        rest = memoryview(memory)
        while rest.nbytes:
            count = self._socket.recv_into(rest)
            if not count:
                raise EOFError("the other end is closed")
            rest = rest[count:]
        return memory
