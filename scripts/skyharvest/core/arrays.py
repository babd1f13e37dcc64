"""Types of arrays, and the number that stands for none."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NULL_INTEGER = np.iinfo(np.int64).min
"""Where there is no whole number."""
