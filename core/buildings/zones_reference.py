"""Reference implementation of the compiled zone kernel in plain NumPy.

Takes the arrays of ``_zones.step``, advances ``state`` in place and fills ``mean`` and ``flow``.
"""

from __future__ import annotations

import numpy as np

from cosim.core.quantities import Array, Flags, Indices32

from .rows import Column, Control, Drive, HeatFlow, Node


def step(
    coefficients: Array,
    archetype: Indices32,
    scale: Array,
    drive: Array,
    control: Array,
    state: Array,
    mean: Array,
    flow: Array,
) -> None:
    """Advance all zones by the step that the coefficients were prepared for.

    Parameters
    ----------
    coefficients : shape (n_archetypes, 64)
        From `cosim.core.buildings.zones.coefficients`.
    archetype, scale : shape (n_zones,)
        Row and multiplier of each zone.
    drive : shape (6, n_zones)
        Outdoor temperature, equivalent outdoor temperatures of exterior mass and windows [°C]; gains at air, exterior
        and interior surface [W].
    control : shape (4, n_zones)
        Heating and cooling setpoint [°C], heating and cooling capacity [W].
    state, mean : shape (3, n_zones)
        Temperatures of air, exterior and interior mass at the end (advanced in place) and their means. [°C]
    flow : shape (2, n_zones)
        Mean heating power (cooling negative) and mean loss to outdoors. [W]
    """
    k = coefficients[archetype]
    h_out, h_rest, c_dt = k[:, Column.H_OUT], k[:, Column.H_REST], k[:, Column.C_DT]
    k_ext, k_int = k[:, Column.K_EXT], k[:, Column.K_INT]

    def matrix(begin: Column, n_rows: int, n_columns: int) -> Array:
        return k[:, begin : begin + n_rows * n_columns].reshape(-1, n_rows, n_columns)

    def symmetric(begin: Column, size: int) -> Array:
        rows, columns = np.triu_indices(size)
        full = np.empty((len(k), size, size))
        full[:, rows, columns] = full[:, columns, rows] = k[:, begin : begin + len(rows)]
        return full

    windows = k[:, Column.W_AIR : Column.W_INT + 1]
    split, end_x, held_end_x = matrix(Column.SPLIT, 4, 2), matrix(Column.E, 3, 3), matrix(Column.HELD_E, 2, 2)
    end_w, mean_w = symmetric(Column.G, 3), symmetric(Column.H, 3)
    held_end_w, held_mean_w = symmetric(Column.HELD_G, 2), symmetric(Column.HELD_H, 2)
    stored = np.concatenate([c_dt[:, None], k[:, Column.C_EXT : Column.C_INT + 1]], axis=1)
    mean_x, held_mean_x = end_w * stored[:, None, :], held_end_w * stored[:, None, 1:]

    def times(matrix: Array, vector: Array) -> Array:
        result: Array = np.einsum("nij,nj->ni", matrix, vector)
        return result

    outdoor, equivalent, window = drive[Drive.OUTDOOR], drive[Drive.EQUIVALENT], drive[Drive.WINDOW]
    gain_air, *gain_surface = drive[[Drive.GAIN_AIR, Drive.GAIN_EXTERIOR, Drive.GAIN_INTERIOR]] / scale
    heat_set, cool_set = control[Control.HEATING_SETPOINT], control[Control.COOLING_SETPOINT]
    heat_max, cool_max = control[[Control.HEATING_CAPACITY, Control.COOLING_CAPACITY]] / scale
    x = state.T.copy()
    gain = times(split, np.stack(gain_surface, axis=1))
    w = gain[:, :3] + windows * window[:, None]
    w[:, 0] += h_out * outdoor + gain_air
    w[:, 1] += h_rest * equivalent
    free = (times(end_x, x) + times(end_w, w))[:, 0]

    heats = (free < heat_set) & (heat_max > 0)
    cools = (free > cool_set) & (cool_max > 0) & ~heats
    target = np.where(heats, heat_set, np.where(cools, cool_set, 0.0))
    no_band = (heat_set == cool_set) & (heats | cools)
    low, high = np.where(cools | no_band, -cool_max, 0.0), np.where(heats | no_band, heat_max, 0.0)

    v = w[:, 1:] + np.stack([k_ext, k_int], axis=1) * target[:, None]
    masses = times(held_mean_x, x[:, 1:]) + times(held_mean_w, v)
    needs = (
        c_dt * (target - x[:, 0])
        + (h_out + windows[:, 0] + k_ext + k_int) * target
        - k_ext * masses[:, 0]
        - k_int * masses[:, 1]
        - w[:, 0]
    )
    emission = k[:, Column.BY_HEAT : Column.PER_HELD].reshape(-1, 2, 4)
    per_held, per_free = k[:, Column.PER_HELD : Column.PER_FREE], k[:, Column.PER_FREE : Column.PER_FREE + 2]

    def of(pairs: Array, cooling: Flags) -> Array:
        return np.asarray(pairs[np.arange(len(pairs)), cooling.astype(int)], dtype=np.float64)

    active = heats | cools
    needed = needs * of(per_held, needs <= 0)
    holds = active & (low <= needed) & (needed <= high)
    limited = np.clip((target - free) * of(per_free, target <= free), low, high)
    power = np.where(holds, needed, np.where(active, limited, 0.0))

    by_power = of(emission, power <= 0) * power[:, None]
    v += by_power[:, 1:3]
    masses = times(held_mean_x, x[:, 1:]) + times(held_mean_w, v)
    w += np.where(holds[:, None], 0.0, by_power[:, :3])
    at_target = target[:, None]
    held_mean = np.concatenate([at_target, masses], axis=1)
    held_end = np.concatenate([at_target, times(held_end_x, x[:, 1:]) + times(held_end_w, v)], axis=1)
    mean[:] = np.where(holds[:, None], held_mean, times(mean_x, x) + times(mean_w, w)).T
    state[:] = np.where(holds[:, None], held_end, times(end_x, x) + times(end_w, w)).T
    flow[HeatFlow.POWER] = scale * power
    out_of_windows = (windows * (mean.T - window[:, None])).sum(axis=1) + gain[:, 3]
    out_of_windows += by_power[:, 3]
    to_outdoors = h_out * (mean[Node.AIR] - outdoor) + h_rest * (mean[Node.EXTERIOR] - equivalent)
    flow[HeatFlow.LOSS] = scale * (to_outdoors + out_of_windows)
