# LUC OS. `make demo` shows it at work on real VMs, `make test` checks it; both set the machine up first.
SHELL := /bin/bash
BIN := .venv/bin
MINI := /var/lib/luc/images/mini/image.toml

.PHONY: help setup image demo test lint docs explore bench-placement bench-sim clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile

setup:  ## system packages (as root) and .venv with a working luc; quick when all is there
	@scripts/setup-system.sh
	@scripts/setup-python.sh

image: setup  ## the mini guest image that demo and tests boot (as root); built anew when its sources changed
	@if [ "$$(id -u)" = 0 ] && { [ ! -e $(MINI) ] || \
	  [ -n "$$(find src/lucos/images -type f -not -name '*.pyc' -newer $(MINI))" ]; }; \
	  then $(BIN)/luc image build mini; fi

demo: image  ## the main job on a lab of real VMs, with a printed account and demo-report.json
	@$(BIN)/luc demo --report demo-report.json

test: image  ## every test this machine can run
	@scripts/run-tests.sh

lint: setup  ## style, types and the import direction
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup  ## write the generated parts of docs/ anew
	@$(BIN)/python scripts/generate_docs.py
	@$(BIN)/python scripts/generate_constraint_pages.py

bench-placement: setup  ## placement measured, with plots; LUC_DATA: folder of BtrPlace's cases; BENCH=quick: a part
	@$(BIN)/python -m benchmarks.placement $(BENCH)

bench-sim: image  ## simulator, schedulers and overlay measured; LUC_DATA: folder of traces; BENCH=PART...: some of it
	@$(BIN)/python -m benchmarks.sim $(BENCH)

explore: setup  ## all small worlds, exhaustively (long)
	@$(BIN)/pytest tests/laws/test_explore.py --explore-long -s

clean:  ## take labs down and remove what make made here (system packages and images stay)
	@scripts/clean.sh
