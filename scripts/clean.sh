#!/usr/bin/env bash
# Takes down the labs that run here, then removes what make made in this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" = 0 ] && [ -x .venv/bin/python ]; then
    .venv/bin/python - <<'PYTHON'
from lucos.lab import lab_down, lab_list

for name in lab_list():
    lab_down(name, print)
PYTHON
fi
rm -rf .venv build dist src/*.egg-info demo-report.json
rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
find . -name __pycache__ -type d -prune -exec rm -rf {} +
