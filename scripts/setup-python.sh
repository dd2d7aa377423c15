#!/usr/bin/env bash
# Makes .venv: the pinned packages of constraints.txt and LUC OS itself, editable. PYTHON names another python3.
# Does nothing when .venv is already what pyproject.toml, constraints.txt and this machine ask for.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "error: Python 3.11 or later is needed, and '$python' is not one; set PYTHON to one" >&2
    exit 1
fi
extras=dev
if pkg-config --exists libvirt 2>/dev/null; then
    extras=libvirt,dev
else
    say "libvirt's headers are not here: real VMs are left out (simulation and tools work)"
fi

wanted=$({ "$python" -VV && printf '%s %s\n' "$PWD" "$extras" && cat pyproject.toml constraints.txt; } | sha256sum)
if [ "$(cat .venv/stamp 2>/dev/null)" = "$wanted" ]; then exit 0; fi

say "installing Python packages into .venv (about a minute the first time)"
"$python" -m venv --clear .venv
.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[$extras]" </dev/null
printf '%s\n' "$wanted" >.venv/stamp
say "ready: .venv/bin/luc ($SECONDS s)"
