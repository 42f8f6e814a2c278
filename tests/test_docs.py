"""The documents keep their word: links lead somewhere, commands exist, the languages agree."""

import ast
import re
import shlex
import time
from functools import cache

import pytest

from config import Settings
from erp import contract
from tests.environments import ROOT
from tests.waiting import PATIENCE

BOTH = ("README.md", "README.es.md")
DOCUMENTS = [
    *BOTH,
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "csv_out/README.md",
    "connect/README.md",
    "models/README.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
]
EACH = pytest.mark.parametrize("name", DOCUMENTS)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s`/])python (?P<module>-m )?(?P<what>[\w./]+)(?P<rest>[^\n`#|;>]*)")
MAKE = re.compile(r"(?:^|[`&] *|=\w+ )make(?P<words>(?: +[\w=|-]+)+)", re.MULTILINE)
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
OTHERS = {"JAVA_HOME", "SASL_SSL"}  # capitals that are no setting of config.py
METRIC = re.compile(r"\berp_(?:sink|reco)_\w+")
OF_ERP = re.compile(r"`((?:erp|tests|docs|bench|security|examples|local_stack|csv_out)/[\w./]*)")


def text(name):
    """A document."""
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def anchors(name):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text(name)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def flags_of(path):
    """The flags that a script's parser knows, those that endless scripts share among them."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    asked = [node.left for node in ast.walk(tree) if isinstance(node, ast.Compare)]  # in sys.argv
    named = {
        constant.value
        for constant in [*(argument for call in calls for argument in call.args), *asked]
        if isinstance(constant, ast.Constant) and str(constant.value).startswith("--")
    }
    shares = any(getattr(call.func, "id", "") == "add_endless_flags" for call in calls)
    return named | {"--help"} | (flags_of("erp/process.py") if shares else set())


def script_of(command):
    """The file that a command runs; None for a program of another project."""
    what = command["what"]
    if not command["module"]:
        return what
    path = what.replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__main__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


@EACH
def test_links_lead_somewhere(name):
    """To a file of the project, and in it to a heading."""
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text(name))):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / name).parent / path if path else ROOT / name
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(str(found.resolve().relative_to(ROOT))), target


@EACH
def test_commands_name_scripts_and_flags_that_exist(name):
    """`python X.py --flag`: X is there, and its parser knows the flag."""
    for command in COMMAND.finditer(text(name)):
        path = script_of(command)
        if path is None:
            assert command["what"].split(".")[0] in {"pytest", "mypy", "ruff"}, command[0]
            continue
        assert (ROOT / path).is_file(), command[0]
        used = set(re.findall(r"(?<!\S)--[a-z][\w-]*", command["rest"]))
        assert set() == used - flags_of(path), command[0]


@EACH
def test_make_targets_exist(name):
    """Every `make X` is a target of the Makefile, every variable is one that it looks at."""
    makefile = text("Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = {"STACK", "PYTHON", *re.findall(r"\$\(if \$\((\w+)\)|\$\(or \$\((\w+)\)", makefile)}
    variables |= {name for pair in variables if isinstance(pair, tuple) for name in pair}
    for found in MAKE.finditer(text(name)):
        for word in found["words"].split():
            if "=" in word:
                assert word.split("=")[0] in variables, found[0]
            elif found[0].startswith("`") or "-" in word:
                assert word in targets, found[0]


@EACH
def test_settings_that_are_named_exist(name):
    """A name in capitals is a field of config.py."""
    known = {field.upper() for field in Settings.model_fields} | OTHERS
    prose = re.sub(r"https?://\S+", "", text(name))
    assert set() == set(VARIABLE.findall(prose)) - known


@EACH
def test_files_that_are_named_exist(name):
    """A path in backquotes is in the project."""
    for path in OF_ERP.findall(text(name)):
        made = {"csv_out/", "erp/stock/", "tests/erp/stock/"}  # or is what the reader will make
        assert path in made or (ROOT / path.rstrip(".")).exists(), path


def test_metrics_that_are_named_exist():
    """What the alerts ask for is what the stages count."""
    sources = [*ROOT.glob("*.py"), *(ROOT / "erp").rglob("*.py")]
    counted = {
        found for path in sources for found in METRIC.findall(path.read_text(encoding="utf-8"))
    }
    named = {
        re.sub(r"_(total|bucket|sum|count)$", "", metric)
        for metric in METRIC.findall(text("docs/operations.md"))
    }
    assert named
    assert set() == named - counted


def test_no_topic_is_compacted_whose_messages_share_a_key():
    """Of the lines of a sale the last one would be left."""
    (suits,) = re.findall(r"`cleanup\.policy=compact`([^:]*):", text("docs/operations.md"))
    alone = {table.name for table in contract.TABLES if table.natural_key == (table.message_key,)}
    assert alone == set(re.findall(r"`erp\.(\w+)`", suits))


def test_every_threat_has_a_test_that_exists():
    """The tests that docs/security.md names are there."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text("docs/security.md"))
    assert len(named) > 20
    for path, test in named:
        assert f"def {test}(" in text(path), test


def test_the_two_languages_say_the_same():
    """The same sections in the same order, the same code, tables, pictures, links and figures."""
    english, spanish = (text(name) for name in BOTH)
    assert FENCE.findall(english) == FENCE.findall(spanish)

    def shape(document):
        lines = FENCE.sub("", document).splitlines()
        kinds = [re.match(r"#+ |\| ?(?=\S)|- |!\[|", line).group() for line in lines if line]
        return [kind for kind in kinds if kind]

    def links(document):
        return [link for link in re.findall(r"\]\(([^)]+)\)", document) if link not in BOTH]

    assert shape(english) == shape(spanish)
    assert links(english) == links(spanish)
    assert _commands(english) == _commands(spanish)
    for number in re.findall(r"\d[\d.,]*\d", english):
        assert number in spanish, number


def _commands(document):
    return [command[0].strip() for command in COMMAND.finditer(document)]


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_the_locks_hold_what_is_required(name):
    """Each pinned version is in its lock, with hashes and without the place it was found at."""
    lock = text(f"{name}.lock")
    locked = {
        each.lower().replace("_", "-") for each in re.findall(r"^([\w.-]+==[^\s;]+)", lock, 8)
    }
    wanted = {
        each.lower().replace("_", "-")
        for each in re.findall(r"^([\w.-]+==\S+)", text(f"{name}.txt"), 8)
    }
    assert wanted
    assert set() == wanted - locked
    assert len(locked) <= lock.count("--hash=sha256:")
    assert "://" not in lock


def test_the_commands_of_the_readme_work_in_their_order(run_script, settings, database):
    """The block of the eight scripts as it is printed, with a smaller sample and a higher pace.

    The pages are left out: they are served by tests of their own.
    """
    (block,) = (code for _, code in FENCE.findall(text("README.md")) if "prepare.py" in code)
    pages = ("print_recommendations_consumer.py", "erp_dashboard")
    smaller = {"500": "12", "60": "1000000"}
    commands = [
        [smaller.get(word, word) for word in shlex.split(line, comments=True)[1:]]
        for line in block.splitlines()
        if line.startswith("python ") and not any(page in line for page in pages)
    ]
    assert 7 == len(commands)
    for script, *flags in commands:
        if script in ("erp_kafka_to_mongo.py", "reco_service_stream.py") or "--watch" in flags:
            running = run_script.start(script, *flags)
            if script == "erp_kafka_to_mongo.py":
                wait_for(lambda: everything_is_stored(settings, database))
            elif script != "reco_service_stream.py":
                wait_for(database[contract.DAILY_SALES].estimated_document_count)
            assert running.process.poll() is None, running.stderr
        else:
            ended = run_script(script, *flags)
            assert 0 == ended.returncode, ended.stderr
    assert settings.model_path.is_file()
    sales = rows_of(settings, contract.SALES)
    answers = database[contract.RECOMMENDATIONS]
    wait_for(lambda: answers.estimated_document_count() == sales)


def rows_of(settings, table):
    """How many rows a table's file has."""
    return len((settings.csv_dir / f"{table.name}.csv").read_text().splitlines()) - 1


def everything_is_stored(settings, database):
    """Whether each row has its document: the trainer refuses lines whose sales are not there."""
    return all(
        database[table.name].estimated_document_count() == rows_of(settings, table)
        for table in contract.TABLES
    )


def wait_for(true):
    """Look until it is, or fail."""
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until
        time.sleep(0.2)
