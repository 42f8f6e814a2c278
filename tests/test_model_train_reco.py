"""The trainer as a program: from files and from MongoDB, shown, cut off, evaluated, rolled back."""

import subprocess
import sys

import pytest

import model_train_reco
from erp import decisions, recommender
from erp.contract import TABLES
from erp.process import UsageError
from erp.recommender import tuning
from tests.environments import ROOT

SCRIPT = "model_train_reco.py"


@pytest.fixture(scope="module")
def households(tmp_path_factory):
    """The folder of the four CSV files of forty households."""
    folder = tmp_path_factory.mktemp("households")
    prepare = [sys.executable, str(ROOT / "csv_out" / "prepare.py"), "--households", "40"]
    subprocess.run([*prepare, "--output", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture
def files(households):
    """Those files as the trainer's source."""
    return f"csv:{households}"


@pytest.fixture
def train(run_script, settings):
    """Train and load the model: `train("--source", ...)`; returns it and what was printed."""

    def run(*flags):
        done = run_script(SCRIPT, *flags, seconds=120)
        assert 0 == done.returncode, done.stderr
        assert "Traceback" not in done.stderr
        return recommender.load(settings.model_path), done.stdout

    return run


def test_files_and_mongodb_give_the_same_model(files, households, train, run_script, read_topic):
    """The same sales, whatever their order: the same model to the bit."""
    from_files, _ = train("--source", files)
    assert 0 == run_script("erp_simulator_producer.py", CSV_DIR=households).returncode
    messages = sum(len(read_topic(table.name)) for table in TABLES)
    assert 0 == run_script("erp_kafka_to_mongo.py", "--max-messages", messages).returncode
    from_mongo, _ = train()
    assert from_files.counts == from_mongo.counts
    assert from_files.content_hash == from_mongo.content_hash


def test_neighbours_are_shown_by_name(files, train):
    """--show prints what goes with a product."""
    model, _ = train("--source", files)
    best = max(model.item_ids, key=lambda key: len(model.similar_items(key, 10)))
    _, told = train("--source", files, "--show", best)
    assert model.similar_items(best, 1)[0]["product_id"] in told


def test_until_leaves_later_sales_out(files, train):
    """Half of the year has fewer sales than the year."""
    whole, _ = train("--source", files)
    half, _ = train("--source", files, "--until", "2017-07-01")
    assert 0 < half.counts["sales"] < whole.counts["sales"]
    assert half.window[1] < "2017-07-01"


def test_rollback_brings_the_model_before_back(files, train, run_script, settings):
    """The version that was replaced serves again."""
    first, _ = train("--source", files, "--until", "2017-09-01")
    second, _ = train("--source", files)
    assert first.version != second.version
    back = run_script(SCRIPT, "--rollback")
    assert 0 == back.returncode, back.stderr
    assert first.version == recommender.load(settings.model_path).version


def test_evaluation_prints_the_peers_and_leaves_the_model_alone(files, run_script, settings):
    """Ranking beside popularity and cosine, and whether the confidence was true; also in files."""
    done = run_script(SCRIPT, "--source", files, "--evaluate", COLUMNS=200, seconds=120)
    assert 0 == done.returncode, done.stderr
    for word in ("this model", "popularity", "plain cosine", "hit@10", "next sale", "hidden half"):
        assert word in done.stdout
    assert ["evaluation.html", "evaluation.json"] == sorted(
        file.name for file in settings.model_path.parent.iterdir()
    )


def test_only_if_better_keeps_a_worse_model_out(files, train, run_script, settings):
    """The first one gets in; mere bestsellers do not, and both end with 0."""
    first, told = train("--source", files, "--only-if-better")
    assert "there was none" in told
    assert first.facts["decision"]["replaced"]
    nothing = {"MIN_SUPPORT": 10**6, "PERSONAL_HALFLIFE_DAYS": 0.001}
    kept = run_script(SCRIPT, "--source", files, "--only-if-better", **nothing, seconds=120)
    assert 0 == kept.returncode, kept.stderr
    assert "the model in service is kept: of " in kept.stdout
    assert first.version == recommender.load(settings.model_path).version
    decision = decisions.read(settings.model_path)
    assert (False, "worse", first.version) == (
        decision.replaced,
        decision.reason,
        decision.version_before,
    )


@pytest.mark.parametrize(
    ("flags", "code", "word"),
    [
        (["--source", "csv:/nowhere"], 1, "prepare.py"),
        ([], 1, "erp_simulator_producer.py"),
        (["--source", "kafka"], 2, "--source"),
        (["--rollback"], 1, "item_sim.pkl"),
    ],
)
def test_what_is_missing_is_one_clear_line(run_script, flags, code, word):
    """No folder, an empty database, an unknown source, nothing to go back to."""
    done = run_script(SCRIPT, *flags)
    assert code == done.returncode
    assert "Traceback" not in done.stderr
    assert word in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "line",
    [
        "--report folder",
        "--margin 0",
        "--tune-seconds 9",
        "--master local[1]",
        "--conf a=b",
        "--conf a --engine spark",
        "--evaluate --engine spark",
        "--only-if-better --evaluate",
        "--show 1 --evaluate",
        "--rollback --tune",
        "--source csv:",
    ],
)
def test_a_flag_without_effect_is_refused_by_name(monkeypatch, line):
    """Before anything is read; whoever wrote it wanted something."""
    monkeypatch.setattr(sys, "argv", [SCRIPT, *line.split()])
    with pytest.raises(UsageError, match=line.split()[0]):
        model_train_reco.flags()


def test_lines_that_teach_nothing_are_told_by_kind(run_script, tmp_path):
    """A folder of returns alone is not an empty one."""
    (tmp_path / "sales.csv").write_text("sale_id,sale_datetime\n1,2024-03-01T10:00:00Z\n")
    lines = "sale_id,line_n,product_id,quantity\n1,1,a,-1\n1,2,b,-2\n9,1,a,1\n"
    (tmp_path / "sales_items.csv").write_text(lines)
    done = run_script(SCRIPT, "--source", f"csv:{tmp_path}")
    assert 1 == done.returncode
    assert "3 lines, of them 2 returns, 1 without a sale, 0 invalid" in done.stderr


@pytest.mark.parametrize("engine", ["local", "spark"])
def test_a_wrong_date_is_told_before_a_server_is_waited_for(run_script, engine):
    """The person who mistyped it need not wait for MongoDB to hear of it."""
    flags = ("--until", "yesterday-ish", "--engine", engine)
    done = run_script(SCRIPT, *flags, MONGO_URI="mongodb://127.0.0.1:9")
    assert 2 == done.returncode
    assert "--until is a date" in done.stderr.splitlines()[-1]
    assert "waiting for MongoDB" not in done.stderr


def test_tuning_is_told_and_kept_with_the_model(files, train):
    """However short the time, the model says what was tried; its settings are those found."""
    model, told = train("--source", files, "--tune", "--tune-seconds", 0.001)
    assert f"tuned by 0 of {tuning.TRIALS} trials" in told
    assert 0 == model.metrics["tuning"]["trials"]
    assert {} == model.metrics["tuning"]["changed"]
    assert 0 < model.metrics["tuning"]["after"] < 1


@pytest.mark.parametrize("flags", [[], ["--tune"], ["--only-if-better"], ["--evaluate"]])
@pytest.mark.parametrize("sales", [1, 2, 12])
def test_a_tiny_shop_gets_a_model_or_a_clear_line(run_script, settings, tmp_path, flags, sales):
    """One product and a few sales of one day by one customer, some returned; ids with emoji."""
    lines = [f"s🧾{n},1,📦,{-1 if n % 3 == 2 else 1}" for n in range(sales)]
    heads = [f"s🧾{n},2025-01-01T10:00:00,c🙂" for n in range(sales)]
    columns = {
        "sales_items": "sale_id,line_n,product_id,quantity",
        "sales": "sale_id,sale_datetime,customer_id",
        "products": "product_id",
    }
    for name, rows in (("sales_items", lines), ("sales", heads), ("products", ["📦"])):
        (tmp_path / f"{name}.csv").write_text("\n".join([columns[name], *rows]) + "\n", "utf-8")
    done = run_script(SCRIPT, "--source", f"csv:{tmp_path}", *flags, seconds=120)
    assert "Traceback" not in done.stderr
    if "--evaluate" in flags:
        assert 1 == done.returncode
        assert "too few sales to evaluate" in done.stderr
        return
    assert 0 == done.returncode, done.stderr
    assert ("too few sales to tune" in done.stdout) == ("--tune" in flags)
    assert [] == recommender.load(settings.model_path).recommend(["📦"])
