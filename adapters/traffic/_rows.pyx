# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Numbers of the rows of SUMO's edgeData, which is a million rows in a day of a city."""

from libc.string cimport memchr, memcmp

import numpy as np

cdef extern from "Python.h":
    double PyOS_string_to_double(const char* text, char** end, void* overflow) except? -1.0


def columns(bytes text not None, attributes, rows, Py_ssize_t n_rows):
    """Return attributes of the ``<edge .../>`` elements of a text, shape (n_attributes, n_rows).

    Parameters
    ----------
    text
        Elements as SUMO writes them, one after the other.
    attributes
        Their names, as SUMO orders them.
    rows
        The row of every edge, by its name as it stands in the file; -1 for edges that are left out.
    n_rows
        Number of rows; one without an element or attribute is 0.

    Raises
    ------
    ValueError
        If a value is not a number.
    """
    cdef list names = [attribute.encode() for attribute in attributes]
    cdef Py_ssize_t n = len(names), row, k, expected
    found = np.zeros((n, n_rows))
    cdef double[:, ::1] value = found
    cdef const char* at = text
    cdef const char* end = at + len(text)
    cdef const char* name
    cdef const char* stop
    cdef char* after
    cdef bytes wanted
    while True:
        at = <const char*> memchr(at, b"<", end - at)
        if at == NULL:
            return found
        if end - at < 10 or memcmp(at, b'<edge id="', 10) != 0:
            at += 1
            continue
        at += 10
        stop = <const char*> memchr(at, b'"', end - at)
        if stop == NULL:
            return found
        row = rows[at[:stop - at]]
        at, expected = stop + 1, 0
        while at < end and at[0] == b" ":
            name = at + 1
            stop = <const char*> memchr(name, b'=', end - name)
            if stop == NULL or end - stop < 2:
                return found
            at = stop + 2
            k = expected
            while k < n:
                wanted = names[k]
                if len(wanted) == stop - name and memcmp(<const char*> wanted, name, stop - name) == 0:
                    break
                k += 1
            stop = <const char*> memchr(at, b'"', end - at)
            if stop == NULL:
                return found
            if k < n:
                expected = k + 1
                if 0 <= row < n_rows:
                    value[k, row] = PyOS_string_to_double(at, &after, NULL)
                    if after != stop:
                        raise ValueError(f"could not convert {at[:stop - at]!r}, which is no number")
            at = stop + 1
