#!/usr/bin/env bash
# Runs all tests that this machine can run: first those without real guests in parallel, then the lab's one by one.
set -uo pipefail
cd "$(dirname "$0")/.."

status=0
printf 'test: unit, property, simulation and documentation tests\n'
.venv/bin/pytest -q -m 'not lab' -n auto --maxprocesses 8 --dist worksteal </dev/null || status=1
if [ "$(id -u)" = 0 ]; then
    printf 'test: lab tests (real guests)\n'
    .venv/bin/pytest -q -m lab </dev/null || status=1
else
    printf 'test: left out: the lab tests, which start real guests on several hosts: they need root (sudo make test)\n'
fi
exit "$status"
