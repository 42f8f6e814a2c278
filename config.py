"""Where things are and how they behave: one frozen object, read once by each script.

Read from, the first that has a value: the environment, `.env` beside this file, the address that
a running local stack left in `local_stack/.run/stack.env`, the defaults below. The names are the
fields in capitals (`KAFKA_BOOTSTRAP_SERVERS`). Importing this module does nothing; `load()` reads.
"""

import re
import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote_plus
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent
USAGE_ERROR = 2  # exit code of a wrong setting
KNOWN_PASSWORD = "admin123"  # noqa: S105  everybody knows it: for this machine alone
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def _from_root(path: Path) -> Path:
    return path if path.is_absolute() else ROOT / path


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except Exception as error:
        raise ValueError("not a time zone of the IANA database, such as Europe/Madrid") from error
    return name


def _mongo_scheme(uri: SecretStr) -> SecretStr:
    if not uri.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return uri


def _local_mongo(username: str, password: SecretStr) -> SecretStr:
    user, secret = quote_plus(username), quote_plus(password.get_secret_value())
    return SecretStr(f"mongodb://{user}:{secret}@localhost:27017")


TimeZone = Annotated[str, AfterValidator(_known_zone)]
ProjectPath = Annotated[Path, AfterValidator(_from_root)]
TopicPart = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]*$", max_length=100)]


class Settings(BaseSettings):
    """Every setting that scripts share; see the comment at each for its meaning and unit."""

    model_config = SettingsConfigDict(
        env_file=(ROOT / "local_stack" / ".run" / "stack.env", ROOT / ".env"),
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    # Kafka
    kafka_bootstrap_servers: str = "127.0.0.1:9094"  # host:port, several separated by commas
    kafka_security_protocol: str | None = None  # PLAINTEXT, SSL, SASL_SSL ...
    kafka_sasl_mechanism: str | None = None  # PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_ca_location: str | None = None  # PEM file of the authority that signed the broker
    topic_prefix: TopicPart = "erp."
    consumer_group_prefix: TopicPart = "erp-"
    consumer_instance: TopicPart | None = None  # of each copy its own: a restart moves no partition
    topic_partitions: int = Field(3, ge=1, le=10_000)  # of a topic that is created
    topic_replication_factor: int = Field(1, ge=1, le=9)  # of a topic that is created

    # MongoDB
    mongo_username: str = "admin"  # of docker-compose.yml's MongoDB, and of the default mongo_uri
    mongo_password: SecretStr = SecretStr(KNOWN_PASSWORD)
    mongo_uri: Annotated[SecretStr, AfterValidator(_mongo_scheme)] = Field(
        default_factory=lambda data: _local_mongo(data["mongo_username"], data["mongo_password"])
    )
    mongo_database: str = Field("erp", pattern=r'^[^/\\. "$*<>:|?\x00]{1,63}$')

    # The business and its files
    business_timezone: TimeZone = "UTC"  # of times without an offset
    csv_dir: ProjectPath = Path("csv_out")
    model_path: ProjectPath = Path("models/item_sim.pkl")

    # The pages
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$")  # of all amounts, ISO 4217
    page_language: Literal["es", "en"] = "es"  # until the reader chooses

    # The log
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)
    ] = "INFO"

    # Patience
    startup_timeout_seconds: float = Field(60, ge=0)  # for Kafka and MongoDB to answer at the start

    # The model
    min_support: int = Field(2, ge=1)  # past sales that a pair of products must share
    top_sim_per_item: int = Field(100, ge=1)  # neighbours kept of each product
    recency_halflife_months: float = Field(6, gt=0)  # age at which a sale counts half
    item_exponent: float = Field(0.3, ge=0, le=1)  # 0: chance of the other product, 0.5: cosine
    size_exponent: float = Field(0.5, ge=0, le=3)  # how much less a line of a big basket counts
    shrink: float = Field(1.0, ge=0)  # in sales; damps similarities that rest on few
    ridge: float = Field(50, gt=0)  # in sales; damps what a product tells beside the others
    personal_weight: float = Field(1.0, ge=0, le=10)  # on the odds of what she bought before
    personal_halflife_days: float = Field(60, gt=0)  # of a customer's own frequencies
    popularity_halflife_days: float = Field(30, gt=0)  # of the bestsellers
    max_per_category: int = Field(0, ge=0)  # recommendations of one category, 0: any number
    never_recommend: tuple[str, ...] = ()  # ids, names or categories, as JSON: ["POST", "BAGS"]
    versions_kept: int = Field(3, ge=0)  # older models kept beside the newest
    trainer_threads: int = Field(2, ge=1)  # at once while training
    top_n: int = Field(5, ge=1, le=100)  # recommendations of each sale

    # The sink
    sink_batch_size: int = Field(3_000, ge=1, le=100_000)  # messages read at once
    sink_on_bad_message: Literal["dead-letter", "log", "stop"] = "dead-letter"  # can't be stored

    # The recommendation service
    basket_deadline_seconds: float = Field(30, gt=0)  # for a sale's lines to reach MongoDB
    basket_quiet_seconds: float = Field(1, gt=0)  # without a new line, for a sale of unknown length
    late_lines_seconds: float = Field(3_600, ge=0)  # an incomplete answer is still improved
    waiting_sales_max: int = Field(20_000, ge=1)  # waiting for lines; reading stops at so many
    model_poll_seconds: float = Field(2, gt=0)  # between two looks whether the model changed
    catalogue_poll_seconds: float = Field(5, gt=0)  # between two looks for changed products
    history_poll_seconds: float = Field(60, gt=0)  # between two looks for other copies' sales
    control_share: float = Field(0, ge=0, le=1)  # of sales that get bestsellers, to compare with
    recommendations_ttl_days: int = Field(0, ge=0, le=24_000)  # kept in MongoDB; 0: for ever

    # The processor
    acceptance_days: int = Field(30, ge=1, le=3_650)  # in which a purchase is owed to an answer

    @property
    def kafka(self) -> dict[str, str]:
        """The connection as librdkafka spells it; what is not set is left out."""
        password = self.kafka_sasl_password
        options = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "security.protocol": self.kafka_security_protocol,
            "sasl.mechanism": self.kafka_sasl_mechanism,
            "sasl.username": self.kafka_sasl_username,
            "sasl.password": password.get_secret_value() if password else None,
            "ssl.ca.location": self.kafka_ssl_ca_location,
        }
        return {name: value for name, value in options.items() if value is not None}

    def describe(self) -> dict[str, Any]:
        """Where things are and what is not its default, fit to be shown: secrets are stars."""
        shown = {"kafka_bootstrap_servers": self.kafka_bootstrap_servers}
        shown["mongo_uri"] = mask_uri(self.mongo_uri.get_secret_value())
        usual = type(self).model_fields
        changed = ((n, v) for n, v in self if n not in shown and v != usual[n].default)
        return shown | {name: str(value) for name, value in changed}

    def warnings(self) -> list[str]:
        """A line for each setting that sends a password everybody knows to another machine."""
        found = []
        uri = self.mongo_uri.get_secret_value()
        away = _elsewhere(re.sub(r"^.*@|[/?].*$", "", uri.split("://", 1)[-1]))
        if away and re.search(rf"://[^/]*:{KNOWN_PASSWORD}@", uri):
            found.append(f"MONGO_URI has the password everybody knows and leads to {away}")
        away = _elsewhere(self.kafka_bootstrap_servers)
        password = self.kafka_sasl_password
        if away and password and password.get_secret_value() == KNOWN_PASSWORD:
            found.append(f"KAFKA_SASL_PASSWORD is the one everybody knows and goes to {away}")
        return found

    @classmethod
    def load(cls) -> Self:
        """Read the settings, or end the program with one line for each wrong one and exit 2.

        Prints one line, once, for each known password that leaves this machine.
        """
        try:
            settings = cls()
        except ValidationError as error:
            for problem in error.errors():
                if problem["type"] != "default_factory_not_called":  # it waits for the others
                    print(_one_line(problem), file=sys.stderr)
            sys.exit(USAGE_ERROR)
        for line in settings.warnings():
            _warn_once(line)
        return settings


@cache
def _warn_once(line: str) -> None:
    print(f"warning: {line}: give that server a password of its own", file=sys.stderr)


def _elsewhere(hosts: str) -> str:
    """Those of `host:port,host:port` that are not this machine."""
    each = [host.strip() for host in hosts.split(",")]
    return ",".join(host for host in each if re.sub(r":\d+$", "", host) not in LOOPBACK)


def mask_uri(uri: str) -> str:
    """A connection string with its passwords as stars.

    >>> mask_uri("mongodb://admin:admin123@localhost:27017")
    'mongodb://admin:***@localhost:27017'
    """
    uri = re.sub(r"(//[^:/@]*):.*@", r"\1:***@", uri)
    return re.sub(r"(?i)(password|token|secret)=[^&]*", r"\1=***", uri)


def _one_line(problem: Any) -> str:
    name = str(problem["loc"][0]).upper() if problem["loc"] else "settings"
    secret = name in {"MONGO_URI", "MONGO_PASSWORD", "KAFKA_SASL_PASSWORD"}
    value = "***" if secret else repr(problem.get("input"))
    return f"configuration error: {name}={value}: {problem['msg']}"
