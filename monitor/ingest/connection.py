"""How the clients reach the broker: settings to kafka-python's names, topics, the cluster's id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import (
    AuthorizationError,
    KafkaConfigurationError,
    KafkaError,
    TopicAlreadyExistsError,
)

from evidence import BadInputError, UnreachableError
from monitor.ingest.options import KafkaOptions

_BROKER_DEFAULT = -1
_TLS_FILES = {
    "ssl_ca_file": "ssl_cafile",
    "ssl_cert_file": "ssl_certfile",
    "ssl_key_file": "ssl_keyfile",
}
"""Our setting → kafka-python's argument."""


class _Hidden(str):
    """A password: kafka-python writes its configuration to the debug log, where this is `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Connection(msgspec.Struct, frozen=True):
    """A broker and how to talk to it. `embedded` brokers forget, and their groups join slowly."""

    bootstrap_servers: str
    cluster_id: str
    embedded: bool
    client: dict[str, Any]

    def ensure_topics(self, names: Iterable[str], partitions: int = _BROKER_DEFAULT) -> None:
        """Create the topics that are absent, with the broker's defaults unless told otherwise.

        A cluster that does not let us create topics is left alone: its owner makes them.
        """
        admin = KafkaAdminClient(**self.client)
        replicas = 1 if self.embedded else _BROKER_DEFAULT
        try:
            present = set(admin.list_topics())
            for name in names:
                if name not in present:
                    _create(admin, NewTopic(name, partitions, replicas))
        finally:
            admin.close()


def connect(options: KafkaOptions, embedded_servers: str | None = None) -> Connection:
    """Ask the broker for its cluster id.

    Parameters
    ----------
    embedded_servers
        Address of a running embedded broker, used when `options` name none.

    Raises BadInputError for settings that do not fit together, UnreachableError without an answer.
    """
    servers = options.bootstrap_servers or embedded_servers
    if servers is None:
        raise BadInputError("no broker is configured", "kafka.bootstrap_servers")
    client = _client(options, servers)
    try:
        admin = KafkaAdminClient(**client)
    except KafkaConfigurationError as error:
        raise BadInputError(str(error), "kafka") from error
    except (KafkaError, OSError) as error:
        raise UnreachableError("Kafka", f"{servers}: {error}") from error
    try:
        cluster_id = str(admin.describe_cluster()["cluster_id"])
    except (KafkaError, OSError) as error:
        raise UnreachableError("Kafka", f"{servers}: {error}") from error
    finally:
        admin.close()
    return Connection(servers, cluster_id, options.bootstrap_servers is None, client)


def _client(options: KafkaOptions, servers: str) -> dict[str, Any]:
    client: dict[str, Any] = {
        "bootstrap_servers": servers.split(","),
        "security_protocol": options.security_protocol,
        "bootstrap_timeout_ms": 5_000,
    }
    if options.security_protocol.endswith("SSL"):
        client |= _tls(options)
    if options.security_protocol.startswith("SASL"):
        client |= _sasl(options)
    return client


def _tls(options: KafkaOptions) -> dict[str, Any]:
    if (options.ssl_cert_file is None) != (options.ssl_key_file is None):
        raise BadInputError("a client's certificate comes with its key", "kafka.ssl_cert_file")
    given: dict[str, Any] = {}
    for setting, argument in _TLS_FILES.items():
        path = getattr(options, setting)
        if path is not None:
            if not path.is_file():
                raise BadInputError(f"cannot read {path}", f"kafka.{setting}")
            given[argument] = str(path)
    return given


def _sasl(options: KafkaOptions) -> dict[str, Any]:
    if (
        options.sasl_mechanism is None
        or options.sasl_username is None
        or options.sasl_password_file is None
    ):
        raise BadInputError(
            "SASL needs kafka.sasl_mechanism, kafka.sasl_username and kafka.sasl_password_file",
            "kafka.security_protocol",
        )
    try:
        password = options.sasl_password_file.read_text().strip()
    except OSError as error:
        raise BadInputError(
            f"cannot read {options.sasl_password_file}: {error.strerror}",
            "kafka.sasl_password_file",
        ) from error
    return {
        "sasl_mechanism": options.sasl_mechanism,
        "sasl_plain_username": options.sasl_username,
        "sasl_plain_password": _Hidden(password),
    }


def _create(admin: KafkaAdminClient, topic: NewTopic) -> None:
    try:
        admin.create_topics([topic])
    except (TopicAlreadyExistsError, AuthorizationError):
        return
