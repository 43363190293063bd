"""The transfer of vectors between processes: complete, read-only, without extra copies."""

import socket
import threading

import numpy as np
import pytest

from cosim.engine.wire import Wire


@pytest.fixture
def ends():
    one, two = socket.socketpair()
    wires = Wire(one), Wire(two)
    yield wires
    for wire in wires:
        wire.close()


def exchange(ends, message):
    sender = threading.Thread(target=ends[0].send, args=(message,))
    sender.start()
    received = ends[1].receive()
    sender.join()
    return received


def test_vectors_arrive_bit_for_bit_and_read_only(ends):
    sent = {"a": np.random.default_rng(1).normal(size=1_000_001), "empty": np.zeros(0), "none": None}
    got = exchange(ends, ("advance", sent))[1]
    np.testing.assert_array_equal(got["a"], sent["a"])
    assert not got["a"].flags.writeable
    assert got["empty"].shape == (0,)
    assert got["none"] is None


def test_more_vectors_than_fit_into_one_system_call_arrive(ends):
    sent = [np.full(k, float(k)) for k in range(3000)]
    got = exchange(ends, sent)
    assert all(np.array_equal(a, b) for a, b in zip(got, sent, strict=True))


def test_received_vectors_use_the_read_buffer(ends):
    got = exchange(ends, [np.arange(100_000.0)])[0]
    owner = got
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, memoryview)
    assert isinstance(owner.obj, bytearray)


def test_receiving_from_a_closed_wire_raises_eof(ends):
    ends[0].close()
    with pytest.raises(EOFError):
        ends[1].receive()


def test_poll_waits_no_longer_than_its_timeout(ends):
    assert not ends[1].poll(0.01)
    ends[0].send("x")
    assert ends[1].poll(0.01)
