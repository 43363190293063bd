"""XML read by a compiled reader."""

from . import _elements

Reader = _elements.Reader
