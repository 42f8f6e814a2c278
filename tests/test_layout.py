"""The shape of the project: imports make a star, and every script tells what it is."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import config
from erp import contract

ROOT = Path(config.__file__).parent
SCRIPTS = [
    "erp_simulator_producer",
    "erp_kafka_to_mongo",
    "model_train_reco",
    "reco_service_stream",
    "print_recommendations_consumer",
    "mongo_data_processor_completo",
    "erp_dashboard",
    "erp_dashboard_dinamico",
]
MAY_USE = {"service": {"recommender", "sink"}, "pages": {"processor"}}  # stages of each other
PAGES = {"erp_dashboard", "erp_dashboard_dinamico", "print_recommendations_consumer"}


def imported(file):
    """The modules that a file imports, in full."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_top_level_holds_the_eight_scripts_and_the_settings():
    """Nothing else runs from there."""
    assert {*SCRIPTS, "config"} == {file.stem for file in ROOT.glob("*.py")}


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_script_imports_a_script(script):
    """What two of them need is in erp/."""
    others = {*SCRIPTS} - {script}
    assert set() == others & {name.split(".")[0] for name in imported(ROOT / f"{script}.py")}


def test_the_shared_code_never_imports_the_settings_or_a_script():
    """Settings come in as arguments, so that each piece can be used and tested alone."""
    for file in (ROOT / "erp").rglob("*.py"):
        tops = {name.split(".")[0] for name in imported(file)}
        assert set() == tops & {*SCRIPTS, "config", "local_stack"}, file


def test_stages_do_not_reach_into_each_other():
    """What is shared lies at the top of erp/ and knows no stage; the few exceptions are listed."""
    top = ROOT / "erp"
    stages = {folder.name for folder in top.iterdir() if (folder / "__init__.py").is_file()}
    for file in top.rglob("*.py"):
        own = file.relative_to(top).parts[0]
        used = {name.split(".")[1] for name in imported(file) if name.startswith("erp.")}
        assert set() == (used & stages) - {own} - MAY_USE.get(own, set()), file


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_tells_what_a_script_reads_and_writes_and_how_it_is_run(script):
    """Its own docstring, then every flag."""
    shown = subprocess.run(
        [sys.executable, f"{script}.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == shown.returncode, shown.stderr
    assert f"python {script}.py" in shown.stdout
    assert "Reads" in shown.stdout
    assert "Writes" in shown.stdout or script in PAGES
    assert "options:" in shown.stdout


def test_names_of_topics_and_collections_stand_once():
    """No script or shared file spells a collection's name out again."""
    names = {
        contract.DAILY_SALES,
        contract.STORES,
        contract.CUSTOMER_ANALYSIS,
        contract.DEAD_LETTER,
    }
    for file in [*(ROOT / "erp").rglob("*.py"), *ROOT.glob("*.py")]:
        if file.name == "contract.py":
            continue
        literals = {
            node.value
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert set() == literals & names, file


def test_modules_that_docstrings_name_exist():
    """`erp.stage.module` leads somewhere; names of topics aside."""
    topics = {f"erp.{topic}" for topic in contract.TOPICS}
    for file in [*(ROOT / "erp").rglob("*.py"), *ROOT.glob("*.py")]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef
        told = [ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, kinds)]
        for name in {*re.findall(r"\berp\.[a-z_]+", " ".join(told))} - topics:
            place = ROOT / name.replace(".", "/")
            assert place.is_dir() or place.with_suffix(".py").is_file(), (file, name)
