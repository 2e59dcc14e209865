.DEFAULT_GOAL := help
SHELL := /bin/bash
# Threads that wait for each other take the cores from what runs beside them: a test then takes up to twenty times as long.
export OMP_WAIT_POLICY ?= PASSIVE
export OPENBLAS_NUM_THREADS ?= 1
# Without compiled bytecode every process that starts compiles its libraries anew.
export PYTHONDONTWRITEBYTECODE :=
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
# More than the cores: some tests wait for a broker or a server.
JOBS ?= 3
FUZZ_SECONDS ?= 28800
URL ?= http://127.0.0.1:8321
TRANSCRIPTS ?= ../shared/data/transcripts.jsonl

.PHONY: help demo test test-long fuzz test-system check format lock bench bench-probes bench-detection bench-alarms bench-cohorts bench-intake bench-console bench-retrain bench-sensor bench-statistics docs shots site dist clean

help: ## what each target does
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-48s %s\n", $$1, $$2 }'

$(READY): requirements/dev.txt requirements/models.txt pyproject.toml tools/environment.sh
	@tools/environment.sh

demo: $(READY) ## the whole story on one machine: drift, alarm, biased raters, confirm run, gate (ARGS=--exit stops at the end)
	@$(BIN)/candor demo $(ARGS)

test: $(READY) ## all tests but those that need a service
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not system and not long" --numprocesses $(JOBS) --dist loadfile $(ARGS)

test-long: $(READY) ## what takes minutes: 2 000 questions to every door of the gate
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long tests --numprocesses 2 --dist loadfile $(ARGS)

fuzz: $(READY) ## records, requests, rows and files bent until something breaks (FUZZ_SECONDS=28800, a night)
	@$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(ARGS)

test-system: $(READY) ## tests against real Kafka, PostgreSQL, vLLM and Prometheus; skipped with a reason where absent
	@$(BIN)/python -m pytest -m system tests/system $(ARGS)

check: $(READY) ## lint, format, types, import directions, and what the repository must not contain
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/hygiene.py

format: $(READY) ## apply ruff's fixes and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(READY) ## write what is generated in docs/ and deploy/ anew
	@$(BIN)/python -m tools.reference docs
	@$(BIN)/python -m deploy.grafana.build

shots: $(READY) ## pictures of a running console, such as `candor demo` leaves (URL=http://127.0.0.1:8321), in docs/console
	@$(BIN)/python -m tools.shots --url $(URL)

site: $(READY) ## the documentation as a searchable site in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

dist: $(READY) ## wheel and source distribution in dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build --target sdist --target wheel

lock: $(READY) ## compile the hashed requirements files anew
	@tools/lock.sh

bench: bench-detection bench-alarms bench-cohorts bench-statistics bench-intake bench-probes bench-retrain bench-sensor ## every benchmark

bench-console: $(READY) ## every page of the console over a million verdicts (ARGS='--database pgserver')
	@$(BIN)/python -m benchmarks.console $(ARGS)

bench-detection bench-alarms bench-cohorts bench-intake bench-retrain: $(READY) ## one benchmark, with its peers
	@tools/environment.sh --bench
	@$(BIN)/python -m benchmarks.$(@:bench-%=%) $(ARGS)

bench-probes: $(READY) ## the probes on labelled transcripts (TRANSCRIPTS=file.jsonl)
	@$(BIN)/python -m benchmarks.probes $(TRANSCRIPTS) $(ARGS)

bench-statistics: $(READY) ## nulls and coverages, and the pages that show them (ARGS="--only honesty")
	@tools/environment.sh --bench
	@$(BIN)/python -m benchmarks.statistics $(ARGS)
	@$(BIN)/python -m tools.reference docs

bench-sensor: $(READY) ## what a calibrated sensor sees: drift, other tones, coverage
	@$(BIN)/python -m benchmarks.sensor $(ARGS)

clean: ## remove the environment and what runs left behind
	rm -rf .venv .uv var build dist
