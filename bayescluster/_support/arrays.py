"""Array types, and the block size of large computations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

#: Largest size of a temporary array: 32 megabytes of float64.
BLOCK_ELEMENTS = 4_000_000
