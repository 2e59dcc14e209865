"""Real services for the system tests, each started once and stopped with the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.certificates import SASL_PASSWORD, SASL_USER, RunningKafka, make_certificates
from tests.system.services import free_port, missing

_HERE = Path(__file__).parent
_LOG4J = """Configuration:
  status: ERROR
  Appenders:
    Console: {name: err, target: SYSTEM_ERR, PatternLayout: {pattern: "%d %p %m%n"}}
  Loggers:
    Root: {level: WARN, AppenderRef: {ref: err}}
"""


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """Apache Kafka's jars from Maven, kept in the user's cache folder."""
    maven = shutil.which("mvn")
    if maven is None or shutil.which("java") is None:
        missing("Apache Kafka needs java and mvn")
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    jars = root / "candor-tests" / "kafka-4.1.0"
    if not (jars / "complete").exists():
        command = [str(maven), "-q", "-B", "-f", str(_HERE / "kafka" / "pom.xml")]
        command += ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1_800, check=False)
        if done.returncode:
            missing(f"mvn cannot fetch Apache Kafka: {done.stdout[-400:]}{done.stderr[-400:]}")
        (jars / "complete").touch()
    return jars


@pytest.fixture(scope="session")
def kafka(kafka_server: RunningKafka) -> str:
    """Bootstrap servers of a single-node Apache Kafka."""
    return kafka_server.plain


@pytest.fixture(scope="session")
def kafka_server(
    kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningKafka]:
    """A single-node Apache Kafka in KRaft mode, with a plain listener and one with TLS and SASL."""
    folder = tmp_path_factory.mktemp("kafka")
    port, controller, secured = free_port(), free_port(), free_port()
    config = folder / "server.properties"
    ca_file = make_certificates(folder)
    config.write_text(_properties(folder, port, controller, secured))
    (folder / "log4j2.yaml").write_text(_LOG4J)
    java = ["java", "-Xmx512m", "-cp", f"{kafka_jars}/*"]
    java += [f"-Dlog4j2.configurationFile={folder / 'log4j2.yaml'}"]
    storage = [*java, "kafka.tools.StorageTool"]
    uuid = subprocess.check_output([*storage, "random-uuid"], text=True, timeout=600).split()[-1]
    subprocess.check_output(
        [*storage, "format", "-t", uuid, "-c", str(config), "--standalone"],
        text=True,
        timeout=600,
        stderr=subprocess.STDOUT,
    )
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*java, "kafka.Kafka", str(config)], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait(server, port, folder / "server.log")
        yield RunningKafka(f"127.0.0.1:{port}", f"127.0.0.1:{secured}", ca_file)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _properties(folder: Path, port: int, controller: int, secured: int) -> str:
    return f"""process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{secured}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{secured}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder / "server.pem"}
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{SASL_USER}="{SASL_PASSWORD}";
log.dirs={folder / "data"}
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def _wait(server: subprocess.Popen[bytes], port: int, log: Path, timeout_s: float = 600.0) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if server.poll() is not None:
            pytest.fail(f"Kafka ended at once: {log.read_text()[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"Kafka is not up: {log.read_text()[-2000:]}")
