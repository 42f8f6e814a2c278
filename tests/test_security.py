"""Kafka behind TLS and passwords, each script with its own user and no right too many."""

import argparse
import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pymongo import MongoClient
from streamlit.testing.v1 import AppTest

from config import Settings
from erp import contract, dead_letters, kafka, mongo
from erp.pages.recommendation_feed import Feed
from erp.process import Failure
from local_stack.stack import Stack, free_ports
from local_stack.toolchain import fetch_jars, find_java
from security import kafka_acls, mongo_roles
from tests.command_log import ROOT, CommandLog
from tests.waiting import PATIENCE

pytestmark = pytest.mark.stack

PASSWORD = "s3cret-of-the-test"
TOOL = "org.apache.kafka.tools.AclCommand"  # what kafka-acls.sh starts
STORE_PASSWORD = "changeit"
USERS = ("producer", "sink", "recommender", "page")
SALES = 6
SHOP = {
    "products": ["product_id,name,category,active", *(f"p{n},Tea {n},Tea,true" for n in range(8))],
    "customers": ["customer_id,first_name", "c1,Ana", "c2,Luis"],
    "sales": [
        "sale_id,sale_datetime,customer_id,store_id,items_count,total_amount",
        *(f"s{n},2026-01-0{n + 1}T10:00:00Z,c{n % 2 + 1},t1,2,3.5" for n in range(SALES)),
    ],
    "sales_items": [
        "sale_id,line_n,product_id,quantity,net_amount",
        *(f"s{n},{line},p{line},1,1.75" for n in range(SALES) for line in (1, 2)),
    ],
}


class Secured(NamedTuple):
    """Where the listener with TLS and passwords is, and the authority to trust."""

    address: str
    authority: Path


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key of this broker made on the spot: its store, and the certificate to trust."""
    tool = Path(find_java()).resolve().with_name("keytool")
    store, authority = folder / "keys.p12", folder / "authority.pem"
    key = ["-alias", "kafka", "-keystore", store, "-storepass", STORE_PASSWORD]
    kind = ["-keyalg", "EC", "-dname", "CN=kafka", "-validity", "2", "-storetype", "PKCS12"]
    names = ["-ext", "san=ip:127.0.0.1", "-ext", "bc=ca:true"]
    for command in (["-genkeypair", *kind, *names], ["-exportcert", "-rfc", "-file", authority]):
        subprocess.run([tool, *command, *key], check=True, capture_output=True)
    return store, authority


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Secured]]:
    """A stack whose Kafka has a listener for administrators and one for users, with rights."""
    folder = tmp_path_factory.mktemp("secured")
    store, authority = certificate(folder)
    *ports, safe = free_ports(4)
    external, control = (f"{name}://127.0.0.1:{{}}" for name in ("EXTERNAL", "CONTROLLER"))
    settings = {
        "listeners": f"{external},{control},SAFE://127.0.0.1:{safe}".format(*ports),
        "advertised.listeners": f"{external},SAFE://127.0.0.1:{safe}".format(*ports),
        "listener.security.protocol.map": "EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,SAFE:SASL_SSL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.safe.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "ssl.keystore.location": str(store),
        "ssl.keystore.password": STORE_PASSWORD,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",  # whoever comes by the listener for administrators
    }
    with Stack(folder / "run", *ports, quick_start=True, kafka_settings=settings) as running:
        yield running, Secured(f"127.0.0.1:{safe}", authority)


@pytest.fixture(scope="module")
def stack(secured: tuple[Stack, Secured]) -> Stack:
    """In this module the stack of all fixtures is the one with rights."""
    return secured[0]


@pytest.fixture
def secure(secured: tuple[Stack, Secured]) -> Secured:
    """Where the users log in."""
    return secured[1]


@pytest.fixture
def log_in(settings: Settings, secure: Secured):
    """The settings with which a user logs in: `log_in("sink")`, with its rights granted."""
    granted: set[str] = set()

    def login(user: str, password: str = PASSWORD) -> dict[str, str]:
        if not granted:
            grant(settings)
            granted.update(USERS)
        return {
            "KAFKA_BOOTSTRAP_SERVERS": secure.address,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": settings.consumer_group_prefix + user,
            "KAFKA_SASL_PASSWORD": password,
            "KAFKA_SSL_CA_LOCATION": str(secure.authority),
        }

    return login


def grant(settings: Settings) -> None:
    """Make the users and the rights that security.kafka_acls prints."""
    admin = AdminClient(settings.kafka)
    users = [
        UserScramCredentialUpsertion(
            settings.consumer_group_prefix + user,
            ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096),
            PASSWORD.encode(),
        )
        for user in USERS
    ]
    printed = kafka_acls.lines(
        kafka_acls.rights(settings.topic_prefix, settings.consumer_group_prefix)
    )
    asked = [
        *admin.alter_user_scram_credentials(users).values(),
        *admin.create_acls([each for line in printed for each in bindings(line)]).values(),
    ]
    for future in asked:
        future.result(30)


def bindings(line: str) -> list[AclBinding]:
    """What a line of kafka-acls.sh says."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for ignored in ("--bootstrap-server", "--command-config"):
        parser.add_argument(ignored)
    parser.add_argument("--add", action="store_true")
    for word in ("--allow-principal", "--resource-pattern-type"):
        parser.add_argument(word)
    for several in ("--operation", "--topic", "--group"):
        parser.add_argument(several, action="append", default=[])
    program, *words = shlex.split(line)
    if program != "kafka-acls.sh":
        return []
    said = parser.parse_args(words)
    kinds = {ResourceType.TOPIC: said.topic, ResourceType.GROUP: said.group}
    operations = {"Describe": "DESCRIBE", "DescribeConfigs": "DESCRIBE_CONFIGS"}
    return [
        AclBinding(
            kind,
            name,
            ResourcePatternType[said.resource_pattern_type.upper()],
            said.allow_principal,
            "*",
            AclOperation[operations.get(operation, operation.upper())],
            AclPermissionType.ALLOW,
        )
        for kind, names in kinds.items()
        for name in names
        for operation in said.operation
    ]


def as_user(login: dict[str, str]) -> dict[str, str]:
    """A login as librdkafka spells it."""
    return Settings(_env_file=None, **{name.lower(): value for name, value in login.items()}).kafka


@pytest.fixture
def shop(settings: Settings) -> None:
    """Eight products, two customers, six sales of two lines."""
    settings.csv_dir.mkdir()
    for name, lines in SHOP.items():
        (settings.csv_dir / f"{name}.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.usefixtures("shop")
def test_each_script_does_its_work_with_its_own_rights(
    settings, log_in, run_script, database, tmp_path, monkeypatch
):
    """Through SASL and TLS, with the printed rights in Kafka and within its role in MongoDB."""
    messages = sum(len(lines) - 1 for lines in SHOP.values())
    runs = [
        ("erp_simulator_producer.py", [], "producer", None),
        ("erp_kafka_to_mongo.py", ["--max-messages", messages], "sink", "sink"),
        ("model_train_reco.py", [], None, "trainer"),
        ("reco_service_stream.py", ["--max-messages", SALES], "recommender", "recommender"),
        ("mongo_data_processor_completo.py", ["--once"], None, "processor"),
    ]
    for script, flags, user, role in runs:
        asked = tmp_path / f"{script}.log"
        login = log_in(user) if user else {}
        ended = run_script("tests/command_log.py", asked, script, *flags, **login)
        assert 0 == ended.returncode, ended.stderr
        assert PASSWORD not in ended.stderr + ended.stdout
        found = [json.loads(line) for line in asked.read_text().splitlines()]
        assert set() == missing(settings, role, found), script
    assert SALES == database[contract.RECOMMENDATIONS].count_documents({})

    topic = settings.topic_prefix + contract.RECOMMENDATIONS
    feed = Feed(as_user(log_in("page")), topic, lambda: database).start()
    try:
        assert feed.wait(PATIENCE)
        assert ("kafka", SALES) == (feed.state().source, len(feed.state().recommendations))
    finally:
        feed.close()

    log = CommandLog()
    monkeypatch.setattr(
        mongo, "MongoClient", lambda *a, **k: MongoClient(*a, **k, event_listeners=[log])
    )
    for name, value in run_script.environment().items():
        monkeypatch.setenv(name, value)
    for page in ("erp_dashboard.py", "erp_dashboard_dinamico.py"):
        shown = AppTest.from_file(str(ROOT / page), default_timeout=PATIENCE).run()
        assert not shown.exception
    asked_by_pages = [json.loads(line) for line in log.seen]
    assert asked_by_pages
    assert set() == missing(settings, "page", asked_by_pages)


ACTIONS = {  # what a command needs on its collection
    "find": {"find"},
    "aggregate": {"find"},
    "count": {"find"},
    "distinct": {"find"},
    "getMore": {"find"},
    "killCursors": set(),  # a user may end its own
    "insert": {"insert"},
    "update": {"update"},
    "delete": {"remove"},
    "findAndModify": {"find", "update"},
    "createIndexes": {"createIndex"},
    "listIndexes": {"listIndexes"},
    "dropIndexes": {"dropIndex"},
    "collMod": {"collMod"},
    "drop": {"dropCollection"},
    "create": {"createCollection"},
    "listCollections": {"listCollections"},
}


def missing(settings: Settings, role: str | None, asked: list) -> set[tuple[str, str]]:
    """The rights that a script used and its role does not have."""
    if role is None:
        return {(entry[1], entry[0]) for entry in asked}
    privileges = mongo_roles.privileges(settings.mongo_database)[role]
    granted = {
        (privilege["resource"]["collection"], action)
        for privilege in privileges
        for action in privilege["actions"]
    }
    needed: set[tuple[str, str]] = set()
    for name, collection, upsert, targets in asked:
        if name == "renameCollection":
            source = collection.split(".", 1)[1]
            needed |= {("", "renameCollectionSameDB"), (source, "find")}
            continue
        place = "" if name == "listCollections" else collection
        needed |= {(place, action) for action in ACTIONS[name] | ({"insert"} if upsert else set())}
        for target in targets:
            into = target if isinstance(target, str) else target["into"]
            needed |= {(into, "insert"), (into, "update" if "into" in target else "remove")}
    everywhere = {action for place, action in granted if place == ""}
    return {each for each in needed - granted if each[1] not in everywhere}


@pytest.mark.parametrize(
    ("user", "table"), [("sink", "sales"), ("recommender", "products"), ("page", "recommendations")]
)
def test_a_user_may_not_write_where_another_one_does(settings, log_in, user, table):
    """There is one writer for each topic, and the brokers see to it."""
    topic = settings.topic_prefix + table
    refused: list[KafkaError] = []
    login = log_in(user)
    kafka.ensure_topics(settings.kafka, [topic], 1, 1)
    producer = Producer({**as_user(login), "log_level": 0})
    producer.produce(topic, b"{}", on_delivery=lambda error, _: refused.append(error))
    producer.flush(30)
    assert [KafkaError.TOPIC_AUTHORIZATION_FAILED] == [error.code() for error in refused]


@pytest.mark.parametrize("user", ["sink", "recommender"])
def test_a_value_of_more_than_a_megabyte_goes_to_the_dead_letters_whole(settings, log_in, user):
    """Who writes dead letters may ask how large one may be, so that no value is left behind."""
    topic = settings.topic_prefix + contract.DEAD_LETTER
    login = log_in(user)
    kafka.ensure_topics(settings.kafka, [topic], 1, 1)
    assert dead_letters.outbox(as_user(login)).takes(topic, 1_500_000)


def test_a_user_may_not_read_what_is_not_its_own(settings, log_in):
    """The service reads sales; customers are none of its business."""
    topic = settings.topic_prefix + contract.CUSTOMERS.name
    login = log_in("recommender")
    kafka.ensure_topics(settings.kafka, [topic], 1, 1)
    reading = kafka.consumer(as_user(login), f"{settings.consumer_group_prefix}recommender")
    reading.assign([TopicPartition(topic, 0, 0)])
    message = reading.poll(30)
    reading.close()
    assert KafkaError.TOPIC_AUTHORIZATION_FAILED == message.error().code()


def test_kafkas_own_tool_takes_the_lines(stack, tmp_path):
    """The printed lines are run as they are, with kafka-acls.sh's own program."""
    jars = fetch_jars(find_java())
    java = [find_java(), "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", TOOL]
    program = tmp_path / "kafka-acls.sh"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(java)} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "admin").touch()
    first, *lines = kafka_acls.lines(kafka_acls.rights("tool.", "tool-"))
    several = [first, next(line for line in lines if "--group" in line)]
    done = subprocess.run(
        [shutil.which("sh"), "-c", "\n".join(several)],
        env={
            "PATH": f"{tmp_path}:{Path(shutil.which('sh')).parent}",
            "BROKER": stack.kafka_bootstrap_servers,
            "ADMIN": str(tmp_path / "admin"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert "ResourcePattern(resourceType=GROUP, name=tool-sink" in done.stdout


def test_a_wrong_password_is_one_clear_line(log_in, run_script):
    """Exit code 1 and what to check; neither password is anywhere."""
    ended = run_script("erp_kafka_to_mongo.py", **log_in("sink", "not-the-p4ssword"))
    _settings, *said = ended.stderr.splitlines()
    assert 1 == ended.returncode
    assert 1 == len(said), ended.stderr
    assert said[0].startswith("error: Kafka at 127.0.0.1:")
    assert "refuses this user: check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD" in said[0]
    assert "not-the-p4ssword" not in ended.stderr + ended.stdout


def test_a_certificate_that_nobody_vouches_for_is_refused(log_in):
    """A server in the middle is not told the password."""
    login = as_user(log_in("sink"))
    del login["ssl.ca.location"]
    with pytest.raises(Failure, match=r"certificate that is not trusted.*KAFKA_SSL_CA_LOCATION"):
        kafka.wait_for_kafka(login, 20)


def test_without_logging_in_nothing_is_shown(secure):
    """The listener for users speaks to nobody who does not speak TLS."""
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": secure.address, "log_level": 0}).list_topics(timeout=2)
