"""Writes the JSON schemas that kubeconform reads: `kubernetes_schemas.py OUT SWAGGER.json [CRD.yaml …]`.

Kubernetes' OpenAPI document becomes one file of definitions and one small file a kind; each version of
each custom resource becomes one file. Objects take no field that is not declared, as the API server
in strict mode.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_DEFINITIONS = "_definitions.json"


def closed(schema: Any) -> Any:
    """The schema with every object that declares its fields closed to others."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    open_ended = made.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(made.get("properties"), dict) and not open_ended:
        made.setdefault("additionalProperties", False)
    if isinstance(made.get("$ref"), str):
        made["$ref"] = made["$ref"].replace("#/definitions", f"{_DEFINITIONS}#/definitions")
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made


def core(swagger: Path, out: Path) -> int:
    """Write the built-in kinds; return how many there are."""
    definitions = closed(json.loads(swagger.read_text(encoding="utf-8"))["definitions"])
    for name in (_INT_OR_STRING, _QUANTITY):
        definitions[name] = {"type": ["string", "number"]}
    (out / _DEFINITIONS).write_text(json.dumps({"definitions": definitions}), encoding="utf-8")
    count = 0
    for name, definition in definitions.items():
        kinds = definition.get("x-kubernetes-group-version-kind", [])
        if len(kinds) != 1 or "apiVersion" not in definition.get("properties", {}):
            continue
        (kind,) = kinds
        group = kind["group"].split(".")[0]
        parts = [kind["kind"], *([group] if group else []), kind["version"]]
        write(out, parts, {"$ref": f"{_DEFINITIONS}#/definitions/{name}"})
        count += 1
    return count


def custom(file: Path, out: Path) -> int:
    """Write the versions of the custom resources in a file; return how many there are."""
    count = 0
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for document in yaml.load_all(file.read_text(encoding="utf-8"), Loader=loader):
        if not document or document.get("kind") != "CustomResourceDefinition":
            continue
        spec = document["spec"]
        for version in spec["versions"]:
            group = spec["group"].split(".")[0]
            parts = [spec["names"]["kind"], group, version["name"]]
            write(out, parts, closed(version["schema"]["openAPIV3Schema"]))
            count += 1
    return count


def write(out: Path, parts: list[str], schema: dict[str, Any]) -> None:
    (out / f"{'-'.join(parts).lower()}.json").write_text(json.dumps(schema), encoding="utf-8")


def main(arguments: list[str]) -> int:
    out, swagger, *resources = (Path(argument) for argument in arguments)
    out.mkdir(parents=True, exist_ok=True)
    count = core(swagger, out) + sum(custom(file, out) for file in resources)
    sys.stdout.write(f"{count} kinds\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
