"""What should the compiled zone kernel compute? The same step in plain NumPy, to be read beside it.

It takes the arrays of ``_zones.step``, advances ``state`` in place and fills ``mean`` and ``flow``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .zones import Array


def step(
    coefficients: Array,
    archetype: npt.NDArray[np.int32],
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
    coefficients : shape (n_archetypes, 72)
        From `cosim.core.zones.coefficients`.
    archetype, scale : shape (n_zones,)
        Row and multiplier of each zone.
    drive : shape (6, n_zones)
        Outdoor temperature, and equivalent ones of exterior mass and windows [°C]; gains at air, exterior and
        interior surface [W].
    control : shape (4, n_zones)
        Heating and cooling setpoint [°C], heating and cooling capacity [W].
    state, mean : shape (3, n_zones)
        Temperatures of air, exterior and interior mass at the end (advanced in place) and their means. [°C]
    flow : shape (2, n_zones)
        Mean heating power (cooling negative) and mean loss to outdoors. [W]
    """
    k = coefficients[archetype]
    h_out, h_rest, k_ext, k_int, c_dt = k[:, :5].T
    windows = k[:, 5:8]
    split = k[:, 8:16].reshape(-1, 4, 2)
    end_x, mean_x, end_w, mean_w = (k[:, i : i + 9].reshape(-1, 3, 3) for i in (16, 25, 34, 43))
    held = (k[:, i : i + 4].reshape(-1, 2, 2) for i in (52, 56, 60, 64))
    held_end_x, held_mean_x, held_end_w, held_mean_w = held

    def times(matrix: Array, vector: Array) -> Array:
        result: Array = np.einsum("nij,nj->ni", matrix, vector)
        return result

    outdoor, equivalent, window = drive[:3]
    gain_air, *gain_surface = drive[3:] / scale
    heat_set, cool_set = control[0], control[1]
    heat_max, cool_max = control[2:] / scale
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
    needed = (
        c_dt * (target - x[:, 0])
        + (h_out + windows[:, 0] + k_ext + k_int) * target
        - k_ext * masses[:, 0] - k_int * masses[:, 1] - w[:, 0]
    )  # fmt: skip
    active = heats | cools
    holds = active & (low <= needed) & (needed <= high)
    limited = np.clip((target - free) / end_w[:, 0, 0], low, high)
    power = np.where(holds, needed, np.where(active, limited, 0.0))

    w[:, 0] += np.where(holds, 0.0, power)
    at_target = target[:, None]
    held_mean = np.concatenate([at_target, masses], axis=1)
    held_end = np.concatenate([at_target, times(held_end_x, x[:, 1:]) + times(held_end_w, v)], axis=1)
    mean[:] = np.where(holds[:, None], held_mean, times(mean_x, x) + times(mean_w, w)).T
    state[:] = np.where(holds[:, None], held_end, times(end_x, x) + times(end_w, w)).T
    flow[0] = scale * power
    out_of_windows = (windows * (mean.T - window[:, None])).sum(axis=1) + gain[:, 3]
    flow[1] = scale * (h_out * (mean[0] - outdoor) + h_rest * (mean[1] - equivalent) + out_of_windows)
