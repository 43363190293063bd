from cosim.core.quantities import Array, Indices32

def tree(
    parent: Indices32,
    factors: Array,
    rest: Array,
    power: Array,
    drop: Array,
    voltage: Array,
    work: Array,
    max_iterations: int,
    tolerance: float,
) -> int: ...
def mesh(
    lower_start: Indices32,
    lower_row: Indices32,
    lower: Array,
    upper_start: Indices32,
    upper_row: Indices32,
    upper: Array,
    inverse: Array,
    row_of: Indices32,
    column_of: Indices32,
    rest: Array,
    power: Array,
    drop: Array,
    voltage: Array,
    work: Array,
    max_iterations: int,
    tolerance: float,
) -> int: ...
def rate(
    from_bus: Indices32,
    to_bus: Indices32,
    admittance: Array,
    limit: Array,
    voltage: Array,
    loading: Array,
    losses: Array,
    sent: Array,
) -> None: ...
