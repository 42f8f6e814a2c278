"""What the stages do at their start while a server is away or refuses."""

import signal

import pytest
from pymongo.errors import OperationFailure

from tests.waiting import until
from tests.wire_proxy import RefusingProxy

GRACE = 10  # s that a supervisor grants
NOBODY = "127.0.0.1:9"  # where nothing listens
PRODUCER, SINK = "erp_simulator_producer.py", "erp_kafka_to_mongo.py"
SERVICE, PROCESSOR = "reco_service_stream.py", "mongo_data_processor_completo.py"
AWAY = {
    "Kafka": {"KAFKA_BOOTSTRAP_SERVERS": NOBODY},
    "MongoDB": {"MONGO_URI": f"mongodb://{NOBODY}"},
}
CREATING = [(SINK, ()), (SERVICE, ()), (PROCESSOR, ("--watch", "1"))]  # indexes
INDEXED = {SINK: "sales_items", SERVICE: "recommendations", PROCESSOR: "deletions"}


@pytest.mark.parametrize(
    ("script", "flags", "server"),
    [
        (PRODUCER, ("--mode", "batch"), "Kafka"),
        (SINK, (), "Kafka"),
        (SINK, (), "MongoDB"),
        (SERVICE, (), "Kafka"),
        (SERVICE, (), "MongoDB"),
        (PROCESSOR, ("--watch", "1"), "MongoDB"),
    ],
)
def test_sigterm_ends_a_stage_that_waits_for_a_server(run_script, settings, script, flags, server):
    """Nothing is in hand yet: it is gone at once, as one that was asked to."""
    settings.csv_dir.mkdir(exist_ok=True)
    (settings.csv_dir / "products.csv").write_text("product_id\n1\n")  # the producer asks first
    stage = run_script.start(script, *flags, **AWAY[server])
    until(lambda: f"waiting for {server}" in stage.stderr)
    stage.process.send_signal(signal.SIGTERM)
    assert 0 == stage.wait(GRACE)
    assert "stopped before it had begun" in stage.stderr


@pytest.fixture
def proxy(stack):
    """A MongoDB that refuses what it is told to."""
    made = RefusingProxy("127.0.0.1", stack.mongo_port)
    yield made
    made.close()


@pytest.mark.parametrize(("script", "flags"), CREATING)
def test_a_database_that_takes_no_writes_is_one_clear_line(run_script, proxy, script, flags):
    """It is waited for, with a word, and in the end named."""
    proxy.refusal = {"code": 10107, "codeName": "NotWritablePrimary"}
    stage = run_script(script, *flags, MONGO_URI=proxy.uri, STARTUP_TIMEOUT_SECONDS=1)
    assert 1 == stage.returncode
    assert "creating the indexes in" in stage.stderr
    assert "error: MongoDB does not create indexes" in stage.stderr.splitlines()[-1]
    assert "Traceback" not in stage.stderr


@pytest.mark.parametrize(("script", "flags"), CREATING)
def test_indexes_that_another_stage_creates_too_are_tried_again(
    run_script, proxy, database, script, flags
):
    """The embedded server says "Unknown error" when two create indexes at the same moment."""
    proxy.refusal = {"code": 8, "codeName": "UnknownError", "errmsg": "Unknown error: null"}
    stage = run_script.start(script, *flags, MONGO_URI=proxy.uri)
    until(lambda: "another stage may be at it" in stage.stderr)
    proxy.refusal = None
    until(lambda: has_indexes(database[INDEXED[script]]))
    assert 0 == stage.stop()
    assert "Traceback" not in stage.stderr


def has_indexes(collection):
    """More than the one of `_id`; the wire server fails a read that comes while they are made."""
    try:
        return len(collection.index_information()) > 1
    except OperationFailure:
        return False
