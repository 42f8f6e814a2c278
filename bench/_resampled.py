"""Train on as many lines as wanted, made of Complete Journey, and tell seconds and peak memory.

Every new basket is a real one, drawn at random, in which 30 % of the lines are exchanged for lines
of any basket, so that sizes, seasons and bestsellers stay as they are while pairs are new. The
customers are copied until each has as many sales as the real ones have. All of it is arrays; the
sales are never a file.

    python bench/_resampled.py CSV_DIR LINES      # a JSON object on stdout
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from erp.recommender import fit_baskets, training_csv
from erp.recommender.sampling import take
from erp.recommender.settings import ModelSettings
from erp.recommender.training_data import Baskets

EXCHANGED = 0.3  # of the lines
SALES_AT_ONCE = 200_000


def resampled(real: Baskets, lines: int) -> Baskets:
    """About so many lines in new baskets, in the order of time and id."""
    random = np.random.default_rng(0)
    many = int(lines * len(real) / len(real.items))
    base = np.sort(random.integers(0, len(real), many, dtype=np.int32))
    copies = max(1, round(many / len(real)))
    copy = random.integers(0, copies, many, dtype=np.int32)
    people = len(real.customer_ids)
    products = len(real.item_ids)
    parts, sizes = [], []
    for first in range(0, many, SALES_AT_ONCE):
        indptr, items = take(real, base[first : first + SALES_AT_ONCE])
        other = random.random(len(items), dtype=np.float32) < EXCHANGED
        items[other] = real.items[random.integers(0, len(real.items), np.count_nonzero(other))]
        rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        keys = np.unique(rows * products + items)
        rows, items = np.divmod(keys, products)
        parts.append(items.astype(np.int32))
        sizes.append(np.bincount(rows, minlength=len(indptr) - 1))
    items = np.concatenate(parts)
    return Baskets(
        real.item_ids,
        [f"{one}-{number}" for number in range(copies) for one in real.customer_ids],
        real.store_ids,
        pa.array([f"{number:010d}" for number in range(many)], pa.string()),
        np.concatenate(([0], np.cumsum(np.concatenate(sizes)))),
        items,
        real.times[base],
        np.where(real.customers[base] >= 0, real.customers[base] + copy * people, -1).astype(
            np.int32
        ),
        real.stores[base],
        {"lines_read": len(items)},
    )


def peak() -> float:
    """The most memory that this process had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Make the baskets, train, tell."""
    folder, lines = Path(sys.argv[1]), int(sys.argv[2])
    baskets = resampled(training_csv.read_baskets(folder), lines)
    made = peak()
    began, cpu = time.perf_counter(), time.process_time()
    model = fit_baskets(baskets, None, ModelSettings())
    found = {
        "lines": len(baskets.items),
        "sales": len(baskets),
        "customers": len(model.customers.history.rows),
        "pairs": len(model.similarity.values),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": peak(),
        "peak_before_mb": made,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
