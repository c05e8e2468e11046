#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash tools/run_tests.sh [--fast] [PYTEST_ARGUMENT ...]

Installs what is missing, into the active virtual environment or else into .venv here, then checks format,
lint, types and docs and runs the tests. All checks run even if one fails; the end names those that did.
--fast leaves out the docs and the tests that take more than a second or two, for use between edits.
Other arguments go to pytest, which starts in the repository: bash tools/run_tests.sh tests/test_models -k shift
TEXT
}

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    usage
    exit
fi
fast=
if [[ ${1:-} == --fast ]]; then
    fast=1
    shift
fi
# shellcheck source=tools/_setup_env.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/_setup_env.sh"
cd -- "$REPOSITORY"
trap 'printf "\nStopped.\n" >&2; exit 130' INT
set_up_environment dev

failed=()
check() {
    local name=$1
    shift
    say "$name"
    "$@" || failed+=("$name")
}

cores=$(python -c 'import os; print(os.cpu_count())')
# One thread a process: the processes share the cores already.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

check format ruff format --check .
check lint ruff check .
check types mypy ts2net_mm tools
[[ $fast ]] || check docs mkdocs build --strict
check tests python -m pytest -n "$((cores < 4 ? cores : 4))" ${fast:+-m 'not slow'} "$@"

if ((${#failed[@]})); then
    say "Failed: ${failed[*]}"
    exit 1
fi
say 'All passed'
