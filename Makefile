.DEFAULT_GOAL := help
SHELL := /bin/bash
# Threads that spin while they wait take the cores from each other where tests run side by side.
export OMP_WAIT_POLICY ?= PASSIVE
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
JOBS ?= 2
FUZZ_SECONDS ?= 28800
TRANSCRIPTS ?= ../shared/data/transcripts.jsonl

.PHONY: help demo test test-long fuzz test-system check format lock bench bench-probes bench-detection bench-cohorts bench-intake bench-retrain bench-sensor docs site dist clean

help: ## what each target does
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-48s %s\n", $$1, $$2 }'

$(READY): requirements/dev.txt requirements/models.txt pyproject.toml tools/environment.sh
	@tools/environment.sh

demo: $(READY) ## the whole story on one machine: drift, alarm, biased raters, confirm run, gate (ARGS=--exit stops at the end)
	@$(BIN)/candor demo $(ARGS)

test: $(READY) ## all tests but those that need a service
	@$(BIN)/python -m pytest -m "not system and not long" --numprocesses $(JOBS) --dist loadfile $(ARGS)

test-long: $(READY) ## what takes minutes: 2 000 questions to every door of the gate
	@$(BIN)/python -m pytest -m long tests $(ARGS)

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

site: $(READY) ## the documentation as a searchable site in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

dist: $(READY) ## wheel and source distribution in dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build --target sdist --target wheel

lock: $(READY) ## compile the hashed requirements files anew
	@tools/lock.sh

bench: bench-detection bench-cohorts bench-intake bench-probes bench-retrain bench-sensor ## every benchmark

bench-detection bench-cohorts bench-intake bench-retrain: $(READY) ## one benchmark, with its peers
	@tools/environment.sh --bench
	@$(BIN)/python -m benchmarks.$(@:bench-%=%) $(ARGS)

bench-probes: $(READY) ## the probes on labelled transcripts (TRANSCRIPTS=file.jsonl)
	@$(BIN)/python -m benchmarks.probes $(TRANSCRIPTS) $(ARGS)

bench-sensor: $(READY) ## what a calibrated sensor sees: drift, other tones, coverage
	@$(BIN)/python -m benchmarks.sensor $(ARGS)

clean: ## remove the environment and what runs left behind
	rm -rf .venv .uv var build dist
