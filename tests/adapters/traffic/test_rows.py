"""Rows of SUMO's edgeData, read by compiled code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.adapters.traffic import _rows
from cosim.adapters.traffic.measures import _periods

PRINTED = st.one_of(
    st.floats(allow_nan=False).map(lambda x: f"{x:.2f}"),
    st.floats(-1e12, 1e12).map(lambda x: f"{x:.6f}"),
    st.floats(allow_nan=False).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.sampled_from(["0", "-0.00", "inf", "-inf", "1e+06", "1.5E-3", ".5", "7."]),
)


@given(st.lists(PRINTED, max_size=20))
def test_every_number_is_the_nearest_double(texts):
    rows = {b"e%d" % k: k for k in range(len(texts))}
    text = "".join(f'<edge id="e{k}" a="{text}"/>\n' for k, text in enumerate(texts)).encode()
    (found,) = _rows.columns(text, ("a",), rows, len(rows))
    np.testing.assert_array_equal(found, [float(text) for text in texts])
    np.testing.assert_array_equal(np.signbit(found), [text.startswith("-") for text in texts])


def test_rows_have_what_is_asked_and_nothing_else():
    text = (
        b'\n  <edge id="a" sampledSeconds="1.50" timeLoss="0.25" distance="9"/>\n'
        b'  <edge id="unknown" sampledSeconds="7" distance="7"/>\n  <edge id="b" sampledSeconds="2" distance="3.00"/>\n'
    )
    found = _rows.columns(text, ("timeLoss", "distance"), {b"a": 0, b"b": 2, b"unknown": -1}, 3)
    assert found.tolist() == [[0.25, 0.0, 0.0], [9.0, 0.0, 3.0]]


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_text_that_ends_anywhere_is_read_to_its_end(cut):
    text = b'<edge id="a" distance="12.50" timeLoss="3"/><edge id="b"'
    found = _rows.columns(text[:cut], ("distance",), {b"a": 0, b"b": 1}, 2)
    assert found.tolist() in ([[0.0, 0.0]], [[12.5, 0.0]])


@pytest.mark.parametrize("wrong", ["", "-", ".", "-.", "1.2.3", "1,5", "0x10", "many"])
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(ValueError, match="could not convert"):
        _rows.columns(f'<edge id="a" distance="{wrong}"/>'.encode(), ("distance",), {b"a": 0}, 1)


def test_periods_are_taken_out_of_what_stands_between_them():
    text = b'<t/><interval begin="0" id="cosim.one">\n<edge/></interval><u/><interval id="cosim.two"/><v/>'
    assert _periods(text) == ({b"one": b"\n<edge/>", b"two": b""}, b"<t/><u/><v/>")
