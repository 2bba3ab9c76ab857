"""Array types, and the size of the blocks that large computations are cut into."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

#: Numbers that one temporary array may hold: 32 megabytes of float64.
BLOCK_ELEMENTS = 4_000_000
