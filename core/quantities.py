"""Array types and constants of time and energy that every sector shares."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float64]
"""One value per element, shape (n,)."""
Array: TypeAlias = npt.NDArray[np.float64]
"""Numbers of any shape."""
Complex: TypeAlias = npt.NDArray[np.complex128]
Flags: TypeAlias = npt.NDArray[np.bool_]
Indices: TypeAlias = npt.NDArray[np.int64]
"""Rows, as numpy finds them."""
Indices32: TypeAlias = npt.NDArray[np.int32]
"""Rows, as the compiled kernels take them."""

HOUR_S = 3_600.0
DAY_S = 86_400.0
J_PER_WH = 3_600.0
J_PER_KWH = 3.6e6
