from collections.abc import Mapping, Sequence

from cosim.core.quantities import Vector

def columns(text: bytes, attributes: Sequence[str], rows: Mapping[bytes, int], n_rows: int) -> Vector: ...
