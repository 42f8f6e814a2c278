"""Java, Maven and the jars: found, checked, and fetched once for every stack of this checkout."""

import fcntl
import hashlib
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from local_stack.errors import StackError

HERE = Path(__file__).resolve().parent
RUN_DIR = HERE / ".run"
POM = HERE / "pom.xml"
JAVA_SOURCES = HERE / "java"
OLDEST_JAVA = 17  # Kafka 4 needs it for its broker
log = logging.getLogger("local_stack")

INSTALL_JAVA = (
    f"install a JDK, {OLDEST_JAVA} or newer (Debian: apt install openjdk-17-jdk-headless)"
)


def versions() -> dict[str, str]:
    """The versions that pom.xml names, such as {"kafka": "4.3.1", ...}."""
    namespace = "{http://maven.apache.org/POM/4.0.0}"
    properties = ElementTree.parse(POM).getroot().find(f"{namespace}properties")
    return {
        entry.tag.removeprefix(namespace).removesuffix(".version"): entry.text
        for entry in properties
    }


def find_java() -> str:
    """The path of `java`, from JAVA_HOME or else PATH. Raises StackError if there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else None
    java = java or shutil.which("java")
    if java is None:
        raise StackError(f"java was not found in PATH or JAVA_HOME: {INSTALL_JAVA}")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    if found is None:
        raise StackError(f"{java} -version says no version: {INSTALL_JAVA}")
    if int(found[1]) < OLDEST_JAVA:
        raise StackError(f"{java} is Java {found[1]}: {INSTALL_JAVA}")
    return java


@contextmanager
def file_lock(path: Path, taken: str | None = None) -> Iterator[None]:
    """Hold an exclusive lock that other processes on this machine respect.

    With `taken` it does not wait for another who holds it: it raises StackError, which says that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if taken else 0))
        except BlockingIOError:
            raise StackError(taken) from None
        yield


def find_maven() -> str:
    """The path of `mvn`. Raises StackError if there is none."""
    mvn = shutil.which("mvn")
    if mvn is None:
        raise StackError("mvn was not found in PATH: install Maven (Debian: apt install maven)")
    return mvn


def jars_folder(project: Path = HERE) -> Path:
    """Where the jars and the compiled classes of a project are, or will be.

    Its name holds a digest of pom.xml and of the Java sources, so a change of either makes a new
    folder.
    """
    digest = hashlib.sha256((project / POM.name).read_bytes())
    for source in sorted((project / JAVA_SOURCES.name).glob("*")):
        digest.update(source.read_bytes())
    return RUN_DIR / "jars" / digest.hexdigest()[:12]


def fetch_jars(java: str, project: Path = HERE) -> Path:
    """The folder of jars, filled by Maven on the first call; it appears whole or not at all.

    `project` is a folder with a pom.xml, whose dependencies are fetched, and, where there is one,
    the folder java, whose sources are compiled against them.
    """
    jars = jars_folder(project)
    if not jars.is_dir():
        with file_lock(RUN_DIR / "jars.lock"):
            if not jars.is_dir():
                _fill(jars, java, project)
    return jars


def _fill(jars: Path, java: str, project: Path) -> None:
    mvn = find_maven()
    log.info("fetching the jars that %s/pom.xml names (some 60 MB, once)", project.name)
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="fetching-") as fetching:
        whole = Path(fetching) / jars.name
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={whole}"]
        pom = str(project / POM.name)
        _run([mvn, "-q", "-B", "-f", pom, *copy], "Maven could not fetch the jars")
        classpath = os.pathsep.join(str(jar) for jar in whole.glob("*.jar"))
        compiler = ["-m", "jdk.compiler/com.sun.tools.javac.Main", "-d", str(whole)]
        sources = list(map(str, (project / JAVA_SOURCES.name).glob("*.java")))
        if sources:
            _run(
                [java, *compiler, "-cp", classpath, *sources],
                f"Java could not compile {project.name}/java (a JRE cannot; {INSTALL_JAVA})",
            )
        shutil.copy(JAVA_SOURCES / "log4j2.xml", whole)
        whole.replace(jars)


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        told = (done.stdout + done.stderr).strip().splitlines()
        first = next(
            (line for line in told if "ERROR" in line or "rror:" in line), "no reason given"
        )
        raise StackError(f"{failure}: {first.strip()}")
