import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]
_Index = npt.NDArray[np.int32]
TARGETS: tuple[str, ...]

def step(
    coefficients: _Array,
    archetype: _Index,
    scale: _Array,
    drive: _Array,
    control: _Array,
    state: _Array,
    mean: _Array,
    flow: _Array,
    first: int,
    last: int,
    target: int,
) -> None: ...
def run(
    coefficients: _Array,
    archetype: _Index,
    profile: _Index,
    drives: _Array,
    variant: _Index,
    capacity: _Array,
    state: _Array,
    totals: _Array,
    first: int,
    last: int,
    target: int,
) -> None: ...
