"""Settings: read in order, checked by name, never showing a secret."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

import config
from config import Settings, mask_uri

ROOT = Path(config.__file__).parent


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """None of the settings comes from the machine that runs the tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def load(environment, code="Settings.load()"):
    """What a program that loads the settings prints and how it ends."""
    inherited = {k: v for k, v in os.environ.items() if k.lower() not in Settings.model_fields}
    return subprocess.run(
        [sys.executable, "-c", f"from config import Settings; {code}"],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOPIC_PARTITIONS", "many"),
        ("TOPIC_PARTITIONS", "0"),
        ("TOPIC_PREFIX", "erp sales/"),
        ("BUSINESS_TIMEZONE", "Mars/Olympus"),
        ("MONGO_DATABASE", "a.b"),
        ("RECENCY_HALFLIFE_MONTHS", "nan"),
        ("RECENCY_HALFLIFE_MONTHS", "-1"),
        ("CURRENCY", "euros"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_name_and_exit_2(name, value):
    """The person sees which variable it is and what it holds, and no traceback."""
    ended = load({name: value})
    assert (2, "") == (ended.returncode, ended.stdout)
    assert ended.stderr.startswith(f"configuration error: {name}={value!r}: ")
    assert 1 == len(ended.stderr.splitlines())


def test_a_wrong_connection_string_is_not_shown():
    """It may hold a password."""
    ended = load({"MONGO_URI": "http://me:hunter2@host"})
    assert 2 == ended.returncode
    assert "MONGO_URI=***" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_no_secret_is_shown_anywhere():
    """Neither by describe, which the log prints, nor by the object itself."""
    secrets = {
        "MONGO_URI": "mongodb://me:hunter2@host/?tlsCertificateKeyFilePassword=hunter2",
        "KAFKA_SASL_PASSWORD": "hunter2",
    }
    ended = load(secrets, "s = Settings.load(); print(s, repr(s), s.describe(), s.model_dump())")
    assert 0 == ended.returncode, ended.stderr
    assert "hunter2" not in ended.stdout


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("mongodb://localhost:27017", "mongodb://localhost:27017"),
        ("mongodb://me@host", "mongodb://me@host"),
        ("mongodb://me:p%40ss@a,b/db?w=1", "mongodb://me:***@a,b/db?w=1"),
        ("mongodb+srv://me:a@b@c.mongodb.net/x", "mongodb+srv://me:***@c.mongodb.net/x"),
    ],
)
def test_a_connection_string_keeps_all_but_its_password(uri, masked):
    """Hosts and options help to find a fault; the password never does."""
    assert masked == mask_uri(uri)


def test_the_environment_wins_over_the_defaults_and_empty_is_unset(monkeypatch):
    """Names are the fields in capitals."""
    monkeypatch.setenv("TOP_N", "7")
    monkeypatch.setenv("MIN_SUPPORT", "")
    loaded = Settings(_env_file=None)
    assert (7, Settings.model_fields["min_support"].default) == (loaded.top_n, loaded.min_support)


def test_the_user_of_the_compose_file_is_in_the_default_connection():
    """MONGO_USERNAME and MONGO_PASSWORD of `.env` are enough for the containers and the scripts."""
    mine = Settings(_env_file=None, mongo_username="shop", mongo_password="p@ss/word")
    assert "mongodb://shop:p%40ss%2Fword@localhost:27017" == mine.mongo_uri.get_secret_value()


@pytest.mark.parametrize(
    ("changed", "warned"),
    [
        ({}, []),
        ({"mongo_uri": "mongodb://admin:admin123@127.0.0.1:1,localhost/x?a=b"}, []),
        ({"mongo_uri": "mongodb://admin:better@db.example.com"}, []),
        ({"mongo_uri": "mongodb://db.example.com/admin:admin123@"}, []),
        ({"mongo_uri": "mongodb://admin:admin123@localhost,db:1/x"}, ["MONGO_URI"]),
        ({"mongo_uri": "mongodb+srv://me:admin123@cluster.example.com"}, ["MONGO_URI"]),
        ({"kafka_sasl_password": "admin123"}, []),
        (
            {"kafka_sasl_password": "admin123", "kafka_bootstrap_servers": "a:1, [::1]:2"},
            ["KAFKA_SASL_PASSWORD"],
        ),
    ],
)
def test_a_known_password_that_leaves_this_machine_is_warned_of(changed, warned):
    """One line for each, with the setting's name and the place, and without the password."""
    lines = Settings(_env_file=None, **changed).warnings()
    assert warned == [line.split()[0] for line in lines]
    assert "admin123" not in "".join(lines)


def test_the_warning_is_printed_once_and_stops_nothing():
    """A page loads its settings at every refresh."""
    ended = load(
        {"MONGO_URI": "mongodb://admin:admin123@db.example.com"},
        "Settings.load(); Settings.load(); print('on')",
    )
    assert (0, "on\n") == (ended.returncode, ended.stdout)
    assert 1 == len(ended.stderr.splitlines())
    assert ended.stderr.startswith("warning: MONGO_URI has the password everybody knows and leads")


def test_security_settings_reach_the_client_and_what_is_unset_does_not():
    """SASL and TLS are passed through as librdkafka spells them."""
    plain = Settings(_env_file=None)
    assert {"bootstrap.servers": "127.0.0.1:9094"} == plain.kafka
    secured = Settings(
        _env_file=None,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="me",
        kafka_sasl_password="s3cret",
        kafka_ssl_ca_location="/ca.pem",
    )
    assert {
        "bootstrap.servers": "127.0.0.1:9094",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "s3cret",
        "ssl.ca.location": "/ca.pem",
    } == secured.kafka


def test_the_example_file_shows_true_defaults():
    """Every line of .env.example names a setting and holds its default."""
    shown = dotenv_values(ROOT / ".env.example")
    assert shown.keys() <= {name.upper() for name in Settings.model_fields}
    for name, value in shown.items():
        default = Settings.model_fields[name.lower()].default
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        assert ("" if default is None else str(default)) == value, name


def test_importing_reads_nothing():
    """A wrong setting hurts only who loads it."""
    ended = load({"TOPIC_PARTITIONS": "many"}, "print('imported')")
    assert "imported\n" == ended.stdout


def test_the_log_names_the_servers_and_what_was_changed():
    """A wall of defaults would hide what matters."""
    shown = Settings(_env_file=None, top_n=3).describe()
    assert "3" == shown["top_n"]
    assert {"kafka_bootstrap_servers", "mongo_uri"} <= set(shown)
    assert not {"min_support", "topic_prefix", "page_language"} & set(shown)


def test_the_level_of_the_log_is_checked():
    """In any case; a word that is none is a configuration error, not a traceback."""
    assert "DEBUG" == Settings(_env_file=None, log_level="debug").log_level
    ended = load({"LOG_LEVEL": "loud"})
    assert 2 == ended.returncode
    assert ended.stderr.startswith("configuration error: LOG_LEVEL='LOUD': ")
