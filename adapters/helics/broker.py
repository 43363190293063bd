"""Brokers of HELICS: where they are, whether one may be joined, and one of our own."""

from __future__ import annotations

import contextlib
import ipaddress
import random
import socket
from typing import Any

from cosim.core import CosimError

_PORTS = range(20_000, 32_768)
"""Ports for brokers: below the first one that Linux gives to callers."""
_FIRST_CORE = 5
"""A broker of the ZMQ layer listens at its own port and the next one, and has the federates listen from this one on."""


def load_helics() -> Any:
    """Return the module `helics`, loaded after pyarrow: in the other order, pyarrow crashes at its first time zone.

    Raises
    ------
    CosimError
        If the extra is not installed.
    """
    import pyarrow as pa  # noqa: F401 - before helics

    try:
        import helics  # an extra
    except ImportError as error:
        raise CosimError("federations of HELICS need helics: pip install 'cosim-city[helics]'") from error
    return helics


def check_address(broker: str, allow_remote: bool) -> None:
    """Check the address of a broker, which has to be on this machine unless another one is allowed.

    Raises
    ------
    CosimError
        If it is malformed, or on another machine: HELICS has neither password nor encryption.
    """
    host, _, port = broker.rpartition("://")[2].rpartition(":")
    if not (host and port.isdigit()):
        raise CosimError(f"broker is {broker!r}: write its address, as in 'tcp://127.0.0.1:23404'")
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host.strip("[]")).is_loopback:
            return
    if host != "localhost" and not allow_remote:
        raise CosimError(
            f"the broker at {broker} is on another machine, and HELICS has neither password nor encryption: tunnel it "
            "to 127.0.0.1, or pass allow_remote=True"
        )


def start_broker(core_type: str, federates: int) -> tuple[Any, str]:
    """Start a broker in this process, on a free port of the loopback interface.

    Two brokers with HELICS' default port get the same address, and a federate joins either.

    Parameters
    ----------
    core_type
        Communication layer of HELICS.
    federates
        Number of federates for which it waits.

    Returns
    -------
    The broker and its address.

    Raises
    ------
    CosimError
        If it does not start.
    """
    h = load_helics()
    port = _free_ports(_FIRST_CORE + federates)
    options = f"-f {federates} --local_interface=tcp://127.0.0.1 --localport={port} --loglevel=no_print"
    try:
        broker = h.helicsCreateBroker(core_type, "", options)
    except h.HelicsException as error:
        raise CosimError(f"no HELICS broker of the type {core_type!r} starts: {str(error).strip()}") from error
    if not h.helicsBrokerIsConnected(broker):
        raise CosimError(f"no HELICS broker of the type {core_type!r} starts")
    return broker, str(h.helicsBrokerGetAddress(broker))


def _free_ports(count: int) -> int:
    """Return the first of neighbouring ports that are free, and outside of the range that systems give to callers."""
    while True:
        first = random.SystemRandom().randrange(_PORTS.start, _PORTS.stop - count)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def answers(broker: str) -> bool:
    """Return whether something listens at an address."""
    host, _, port = broker.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2.0):
            return True
    except OSError:
        return False
