"""A pandas frame to a raw table; Parquet files come this way too."""

from typing import TYPE_CHECKING

import numpy as np

from udesys.data.cells import RawTable, first_repeated
from udesys.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def raw_frame(df: "pd.DataFrame", *, source: str, levels: tuple[str | None, ...] = ()) -> RawTable:
    """Return the cells of a frame.

    Args:
        df: the frame.
        source: what messages call it.
        levels: names to look for in the index where the columns lack them.

    Raises:
        DataError: `df` is no frame, or a column name appears twice.
    """
    import pandas as pd

    if not isinstance(df, pd.DataFrame):
        raise DataError(f"from_frame takes a pandas DataFrame, not {type(df).__name__}.", file=source)
    rows = df.index
    for level in levels:
        if level is not None and level in df.index.names and level not in df.columns:
            df = df.reset_index(level=level)
    names = [str(name) for name in df.columns]
    repeated = first_repeated(names)
    if repeated is not None:
        message = f"column {repeated!r} appears twice ({source}). Rename one."
        raise DataError(message, file=source, column=repeated)
    columns = {name: _cells(df.iloc[:, j]) for j, name in enumerate(names)}
    return RawTable(source=source, columns=columns, rows=rows, row_word="index")


def _cells(column: "pd.Series") -> list[str] | np.ndarray:
    """Return real numbers as an array, anything else as text with empty cells for missing values."""
    import pandas as pd

    kinds = pd.api.types
    if kinds.is_numeric_dtype(column.dtype) and not kinds.is_complex_dtype(column.dtype):
        if kinds.is_integer_dtype(column.dtype) and not column.hasnans:
            signed = kinds.is_signed_integer_dtype(column.dtype)
            return column.to_numpy(dtype=np.int64 if signed else np.uint64)
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return ["" if empty else str(cell).strip() for cell, empty in zip(column, column.isna(), strict=True)]
