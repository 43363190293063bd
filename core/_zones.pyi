import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]

def step(
    coefficients: _Array,
    archetype: npt.NDArray[np.int32],
    scale: _Array,
    drive: _Array,
    control: _Array,
    state: _Array,
    mean: _Array,
    flow: _Array,
) -> None: ...
