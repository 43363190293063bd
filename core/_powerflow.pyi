import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]
_Index = npt.NDArray[np.int32]

def tree(
    parent: _Index,
    factors: _Array,
    rest: _Array,
    power: _Array,
    drop: _Array,
    voltage: _Array,
    work: _Array,
    max_iterations: int,
    tolerance: float,
) -> int: ...
def mesh(
    lower_start: _Index,
    lower_row: _Index,
    lower: _Array,
    upper_start: _Index,
    upper_row: _Index,
    upper: _Array,
    inverse: _Array,
    row_of: _Index,
    column_of: _Index,
    rest: _Array,
    power: _Array,
    drop: _Array,
    voltage: _Array,
    work: _Array,
    max_iterations: int,
    tolerance: float,
) -> int: ...
def rate(
    from_bus: _Index,
    to_bus: _Index,
    admittance: _Array,
    limit: _Array,
    voltage: _Array,
    loading: _Array,
    losses: _Array,
    sent: _Array,
) -> None: ...
