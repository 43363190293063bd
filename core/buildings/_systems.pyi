from typing import Any

from cosim.core.quantities import Array, Indices32, Vector

def before(
    constants: dict[str, float],
    moment: dict[str, float],
    first: int,
    last: int,
    *,
    fixed: Array,
    shift_h: Vector,
    spans: Array,
    surfaces: Array,
    light: Array,
    power_cap: Vector,
    heating_shift: Vector,
    cooling_shift: Vector,
    occupancy: Vector,
    state: Array,
    shut: Indices32,
    n_archetypes: int,
    archetype: Indices32,
    idle_change: Vector,
    temperature: Vector,
    charging: Any,
    given: Array,
    kept: Array,
    drive: Array,
) -> None: ...
def after(
    constants: dict[str, float],
    moment: dict[str, float],
    first: int,
    last: int,
    fixed: Array,
    given: Array,
    kept: Array,
    curtailment: Vector,
    power: Vector,
    air: Vector,
    energy: Vector,
    out: Array,
) -> None: ...
