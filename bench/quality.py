"""How good the recommendations are, beside implicit's recommenders, SAR, EASE and simpler ones.

The newest tenth of the sales is hidden from all of them; one product of each of those baskets is
then hidden from its basket and looked for among ten recommendations. The settings are the defaults
of config.py, the same for every data set, unless --tune looks for better ones among the sales that
are not hidden.

    python bench/quality.py                                # Complete Journey, made for the occasion
    python bench/quality.py --csv-dir PATH --csv-dir PATH  # folders with the four CSV files
    python bench/quality.py --tune                         # settings found for each, before
    python bench/quality.py --json > quality.json

Exit codes: 0 measured; 1 something failed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402  the project is run from its folder
from rich.table import Table  # noqa: E402

from config import Settings  # noqa: E402
from erp.recommender import training_csv, tuning  # noqa: E402
from erp.recommender.comparison import Comparison, compare, first_asked  # noqa: E402
from erp.recommender.evaluation_tables import tables  # noqa: E402
from model_train_reco import model_settings  # noqa: E402

GOALS = {"hit@10 to the best peer's": 1.02, "customer known to basket alone": 1.3}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv-dir", type=Path, action="append", help="may be given several times")
    parser.add_argument(
        "--tune", action="store_true", help="the model's settings, on the sales that are not hidden"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folders = flags.csv_dir or [complete_journey(Path(made))]
        results = {folder.name: measure(folder, flags.tune) for folder in folders}
    if flags.json:
        print(json.dumps(metrics(results), indent=2))
    else:
        for name, found in results.items():
            show(name, found)
    return 0


def complete_journey(folder: Path) -> Path:
    """The four CSV files of Complete Journey."""
    folder /= "complete-journey"
    command = [sys.executable, str(ROOT / "csv_out/prepare.py"), "--output", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def measure(folder: Path, tune: bool) -> Comparison:
    """The comparison on one data set, with the default settings or with tuned ones."""
    settings = model_settings(Settings(_env_file=None))
    baskets = training_csv.read_baskets(folder, "UTC")
    if tune:
        tuned = tuning.tune(baskets.between(0, first_asked(baskets)), None, settings)
        print(f"{folder.name}: {tuning.in_words(tuned)}", file=sys.stderr)
        settings = tuned.settings if tuned else settings
    found = compare(baskets, settings)
    if found is None:
        sys.exit(f"{folder}: too few sales")
    return found


def metrics(results: dict[str, Comparison]) -> dict[str, dict]:
    """{metric: {value, goal, unit}}"""
    told = {}
    for data, found in results.items():
        ratios = dict(zip(GOALS, (found.ratio.value, found.known_ratio.value), strict=True))
        for name, ratio in ratios.items():
            told[f"{data}: {name}"] = {"value": ratio, "goal": GOALS[name], "unit": "ratio"}
        for question, figures in found.confidence.items():
            for name, goal in (("error", 0.01), ("skill", 0.04)):
                told[f"{data}: {name} of confidence, {question}"] = {
                    "value": float(figures[name]),
                    "goal": goal,
                    "unit": "share",
                }
    return told


def show(data: str, found: Comparison) -> None:
    """Tables for people."""
    console = Console()
    console.rule(f"{data}: {found.sales:,} sales, {found.asked:,} asked about")
    for part in tables(found):
        console.print(part)
    table = Table("metric", "value", "goal")
    for name, metric in metrics({data: found}).items():
        table.add_row(name, f"{metric['value']:.4f}", f"{metric['goal']}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
