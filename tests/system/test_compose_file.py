"""deploy/compose.yaml against the schema of the Compose specification."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest

from tests.deploy.test_compose import COMPOSE
from tests.system.test_helm import tools

pytestmark = pytest.mark.system


def validate(document: dict[str, Any]) -> None:
    schema = json.loads((tools() / "compose-spec.json").read_text())
    jsonschema.validate(document, schema)


def test_it_follows_the_specification() -> None:
    validate(COMPOSE)


@pytest.mark.parametrize("service", sorted(COMPOSE["services"]))
def test_a_misspelt_field_would_be_noticed(service: str) -> None:
    wrong = copy.deepcopy(COMPOSE)
    wrong["services"][service]["helthcheck"] = {}
    with pytest.raises(jsonschema.ValidationError, match="helthcheck"):
        validate(wrong)
