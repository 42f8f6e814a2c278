"""Arrays that come from outside, looked at before compiled code reads them.

Compiled code follows an index wherever it leads: a wrong one would end the process, or read and
write what is not its own. What the package itself makes is right by construction; what a caller or
a file hands over is looked at here, once.
"""

from __future__ import annotations

import numpy as np

from erp.recommender.sampling import Csr


def csr(indptr, codes, rows: int, below: int, what: str) -> Csr:
    """Rows of codes from 0 to `below` - 1, as contiguous int64 and int32.

    Parameters
    ----------
    indptr : int (rows + 1), where each row begins; codes : int (entries)
    what : they are, for the error

    Raises
    ------
    ValueError
        They are something else.
    """
    codes = _whole(codes, what)
    if codes.size and not 0 <= codes.min() <= codes.max() < below:
        raise ValueError(f"{what}: codes {codes.min()} to {codes.max()}, there are {below}")
    ends = _whole(indptr, f"{what}, indptr")
    right = len(ends) == rows + 1 and ends[0] == 0 and ends[-1] == len(codes)
    if not right or (ends[1:] < ends[:-1]).any():
        raise ValueError(f"{what}: indptr does not cut {len(codes)} entries into {rows} rows")
    return np.ascontiguousarray(ends, np.int64), np.ascontiguousarray(codes, np.int32)


def array(values, kind, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Numbers as a contiguous array of this type and shape; ValueError where they are none."""
    found = np.asarray(values)
    if found.shape != shape or not np.can_cast(found.dtype, kind, "same_kind"):
        raise ValueError(
            f"{what}: {found.dtype} {found.shape} where {np.dtype(kind)} {shape} is wanted"
        )
    return np.ascontiguousarray(found, kind)


def _whole(values, what: str) -> np.ndarray:
    found = np.asarray(values)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"{what}: {found.dtype} {found.shape} where a row of integers is wanted")
    return found
