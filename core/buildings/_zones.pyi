from cosim.core.quantities import Array, Indices32

TARGETS: tuple[str, ...]

def step(
    coefficients: Array,
    archetype: Indices32,
    scale: Array,
    drive: Array,
    control: Array,
    state: Array,
    mean: Array,
    flow: Array,
    first: int,
    last: int,
    target: int,
) -> None: ...
def run(
    coefficients: Array,
    archetype: Indices32,
    profile: Indices32,
    drives: Array,
    variant: Indices32,
    capacity: Array,
    state: Array,
    totals: Array,
    first: int,
    last: int,
    target: int,
) -> None: ...
