"""Type aliases used in every layer; nothing here computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
StrArray = npt.NDArray[np.object_]
"""Text values as Python strings: ids and levels are never numbers."""

Row = Mapping[str, object]
"""One offending row, as the user would recognise it."""

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None
"""What a manifest can hold."""
