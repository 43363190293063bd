from cosim.core.quantities import Array, Vector

def sector_means(
    wind: float,
    direction: float,
    half: float,
    intervals: int,
    receptor: float,
    turbulence: Vector,
    bearing: Vector,
    width: Vector,
    height: Array,
    reach: Vector,
    out: Array,
) -> None: ...
