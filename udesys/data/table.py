"""read_table: CSV, TSV and Parquet files to a Dataset."""

import csv
import hashlib
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from udesys.data.assemble import assemble
from udesys.data.cells import RawTable, first_repeated, parse_cell
from udesys.data.dataset import Dataset
from udesys.data.frame import raw_frame
from udesys.errors import DataError, nearest

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
MOST_BYTES, MOST_CELLS = 100_000_000, 5_000_000
"""Of a file; more takes over 1 GiB of memory, and is ten times what a fit takes in."""
_SNIFFED_ROWS = 100
_SEPARATORS = ",;\t"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_table(
    path: str | Path,
    *,
    time: str,
    trajectory: str | Sequence[str] | None = None,
    columns: Mapping[str, str] | Sequence[str] | None = None,
    inputs: Mapping[str, str | Mapping[str, str]] | None = None,
    covariates: Mapping[str, str] | Sequence[str] | None = None,
    position: str | None = None,
) -> Dataset:
    """Read measurements from a CSV, TSV or Parquet file.

    Empty cells, NA and NaN are missing values; rows without any cell are skipped. Text files are
    UTF-8, their first row names the columns, and commas or semicolons separate the cells of a
    .csv file, tabs those of a .tsv or .txt file. Nothing in a file is ever evaluated.

    Args:
        path: the file.
        time: the column of times; they must increase within a trajectory.
        trajectory: the column, or columns, that separate runs; their rows may be interleaved.
        columns: model name -> column, or names, or None for every other column of numbers.
        inputs: name -> column, or name -> {"column": ..., "interpolation": "linear", "hold" or "cubic"}, of the
            measured inputs; "linear" where nothing is said. Gaps between measured cells are filled by the same
            interpolation, those before the first and after the last by the nearest one.
        covariates: name -> column, or names, of the numbers that hold for a whole trajectory; they may stand in any
            of its rows, and are the same in all.
        position: where the columns are fields on a line, the column of positions, with a row for each time and point;
            or, where a table has columns such as u@0.00, u@0.04, ..., what the positions in these names are called.
            Positions are evenly spaced.

    Raises:
        DataError: the file, a column or a cell cannot be used; it names the file, row and column.
    """
    roles = {"time": time, "trajectory": trajectory, "columns": columns}
    return assemble(read_raw(path), **roles, inputs=inputs, covariates=covariates, position=position)


def read_raw(path: str | Path) -> RawTable:
    """Read a table's header and cells as they stand, for those who choose columns by the header.

    Args:
        path: a CSV, TSV or Parquet file.

    Raises:
        DataError: the file is no table that can be read.
    """
    path = Path(path)
    data, suffix = _read_bytes(path), path.suffix.lower()
    if suffix in PARQUET_SUFFIXES:
        return _parquet_table(data, path.name)
    return _text_table(data, path.name, suffix)


def _read_bytes(path: Path) -> bytes:
    file = path.name
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder. Give a file in it.", file=file)
        if not path.exists():
            raise DataError(f"there is no file {path}{_nearby(path)}", file=file)
        if not path.is_file():
            raise DataError(f"{path} is no plain file. Give a table that is one.", file=file)
    except OSError as error:  # a name that the system takes for none, or a folder that may not be read
        raise DataError(f"{path} cannot be read: {error.strerror}.", file=file) from error
    if path.suffix.lower() not in TEXT_SUFFIXES + PARQUET_SUFFIXES:
        kinds = ", ".join(TEXT_SUFFIXES + PARQUET_SUFFIXES)
        raise DataError(f"{file} is of no kind that can be read ({kinds}). Save the table as CSV.", file=file)
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            message = f"{file} has {size} bytes; at most {MOST_BYTES} are read."
            raise DataError(f"{message} Keep every tenth row, or only the columns that are needed.", file=file)
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", file=file) from error
    if not data:
        raise DataError(f"{file} is empty.", file=file)
    return data


def _nearby(path: Path) -> str:
    """Return how a message about a missing file goes on: the files nearby with a similar name."""
    if not path.parent.is_dir():
        return f": the folder {path.parent} does not exist."
    names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    near = nearest(path.name, names, n=3)
    return f". Similar files there: {', '.join(near)}." if near else "."


def _text_table(data: bytes, file: str, suffix: str) -> RawTable:
    text = _decode(data, file)
    if not text.strip(f"{_SEPARATORS} \r\n"):
        raise DataError(f"{file} is empty.", file=file)
    separator = _separator(text, file, suffix)
    _check_size(text.count(separator) + text.count("\n"), file)
    rows, lines = _split(text, separator, file)
    if not rows:
        raise DataError(f"{file} is empty.", file=file)
    header, line, rows, lines = rows[0], lines[0], rows[1:], lines[1:]
    repeated = first_repeated([name for name in header if name])
    if repeated is not None:
        unnamed = all(parse_cell(name) is not None for name in header)
        advice = "The first row must name the columns." if unnamed else "Rename one."
        message = f"column {repeated!r} appears twice in the header ({file}, row {line}). {advice}"
        raise DataError(message, file=file, row=line, column=repeated)
    if not rows:
        raise DataError(f"{file} has a header but no rows of data.", file=file)
    for cells, line in zip(rows, lines, strict=True):
        _check_width(cells, header, file, line)
    columns = {
        name: list(cells)
        for name, cells in zip(header, zip(*rows, strict=True), strict=True)
        if name  # a column without a name cannot be asked for; pandas writes its index as one
    }
    return RawTable(source=file, columns=columns, rows=lines, sha256=hashlib.sha256(data).hexdigest())


def _check_size(n_cells: int, file: str) -> None:
    if n_cells > MOST_CELLS:
        message = f"{file} has {n_cells} cells; at most {MOST_CELLS} are read."
        raise DataError(f"{message} Keep every tenth row, or only the columns that are needed.", file=file)


def _check_width(cells: list[str], header: list[str], file: str, line: int) -> None:
    """Drop empty cells beyond the header, and refuse a row that still has another width."""
    while len(cells) > len(header) and not cells[-1]:
        cells.pop()
    if len(cells) == len(header):
        return
    advice = (
        "Quote text that holds the separator, and write decimals with a point."
        if len(cells) > len(header)
        else "Keep the separators of empty cells."
    )
    message = f"the row has {len(cells)} cells, but the header has {len(header)} ({file}, row {line})."
    raise DataError(f"{message} {advice}", file=file, row=line)


def _decode(data: bytes, file: str) -> str:
    if data.startswith(_UTF16_MARKS):
        raise DataError(f"{file} is UTF-16 text. Save it as UTF-8 (in Excel: CSV UTF-8).", file=file)
    if b"\0" in data:
        row = data.count(b"\n", 0, data.index(b"\0")) + 1
        message = f"{file} is not UTF-8 text: it holds a NUL byte in row {row}."
        raise DataError(f"{message} Save the table as CSV in UTF-8.", file=file, row=row)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        message = f"{file} is not UTF-8 text: byte 0x{data[error.start]:02x} in row {row}. Save it as UTF-8."
        raise DataError(message, file=file, row=row) from error


def _separator(text: str, file: str, suffix: str) -> str:
    """Return the separator that the header shows, where it is clear."""
    first_line = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    header = re.sub(r'"[^"]*"', "", first_line)
    if "\t" in header and suffix != ".csv":
        return "\t"
    found = [mark for mark in ",;" if mark in header]
    if not found:
        return "\t" if "\t" in header else ","
    if len(found) == 1:
        return found[0]
    even = [mark for mark in found if len(_widths(text, mark)) == 1]
    if len(even) != 1:
        message = f"{file} has commas and semicolons in its header, and either may separate the cells."
        raise DataError(f"{message} Quote the names.", file=file, row=1)
    return even[0]


def _widths(text: str, separator: str) -> set[int]:
    """Return the numbers of cells in the first rows."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return {len(row) for row in itertools.islice(rows, _SNIFFED_ROWS) if row}
    except csv.Error:
        return set()


def _split(text: str, separator: str, file: str) -> tuple[list[list[str]], list[int]]:
    """Return the rows that hold anything, and the line each one starts on."""
    lines_of_text = io.StringIO(text, newline="")
    reader = csv.reader(lines_of_text, delimiter=separator, strict=True, skipinitialspace=True)
    rows, lines, line = [], [], 1
    try:
        for row in reader:
            if row:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    rows.append(cells)
                    lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        message = f"the cells cannot be told apart ({file}, from row {line} on): {error}."
        raise DataError(f"{message} Check the quotation marks.", file=file, row=line) from error
    return rows, lines


def _parquet_table(data: bytes, file: str) -> RawTable:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        message = f"{file} needs pyarrow to be read. Install it: pip install pyarrow"
        raise DataError(message, file=file) from error
    try:
        # Without pandas' metadata an index is a column like any other.
        parquet = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data))
        _check_size(parquet.metadata.num_rows * parquet.metadata.num_columns, file)
        frame = parquet.read().to_pandas(ignore_metadata=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file} is not a Parquet file that can be read: {error}.", file=file) from error
    frame = frame[[name for name in frame.columns if not str(name).startswith("__index_level_")]]
    table = raw_frame(frame, source=file)
    return RawTable(
        source=file,
        columns=table.columns,
        rows=range(1, len(frame) + 1),
        sha256=hashlib.sha256(data).hexdigest(),
    )
