import numpy as np
import numpy.typing as npt

_Index = npt.NDArray[np.int32]
_Array = npt.NDArray[np.float64]

def take_points(
    queue: npt.NDArray[np.int64],
    aim: _Index,
    place: _Index,
    first_offer: _Index,
    offers: _Index,
    free: _Index,
    station: _Index,
) -> None: ...
def fill_valleys(base: _Array, due: _Array, level: _Array) -> None: ...
def session_ranges(
    vehicles: npt.NDArray[np.int64],
    station: _Index,
    trip: _Index,
    cars: _Array,
    stations: _Array,
    trips: _Array,
    state: _Array,
    setting: _Array,
    found: _Array,
) -> None: ...
