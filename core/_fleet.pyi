import numpy as np
import numpy.typing as npt

_Index = npt.NDArray[np.int32]

def take_points(
    queue: npt.NDArray[np.int64],
    aim: _Index,
    place: _Index,
    first_offer: _Index,
    offers: _Index,
    free: _Index,
    station: _Index,
) -> None: ...
def fill_valleys(
    base: npt.NDArray[np.float64], due: npt.NDArray[np.float64], level: npt.NDArray[np.float64]
) -> None: ...
