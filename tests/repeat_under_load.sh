#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash tests/repeat_under_load.sh TIMES [PYTEST_ARGUMENT ...]

Runs tests again and again while two busy processes a core compete with them, stops at the first failure, and
prints how many runs went well. Without arguments it takes the tests that start several processes.
TEXT
}

if [[ $# -eq 0 || $1 == -h || $1 == --help ]]; then
    usage
    exit
fi
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
times=$1
shift
if (($# == 0)); then
    set -- tests/test_evaluation/test_metric.py \
        tests/test_models/test_losses/test_contrastive_loss.py tests/test_engine/test_distributed_training.py \
        tests/test_tools/test_train_and_test.py \
        -k 'two_processes or losses_gradients_and_weights or over_several_processes'
fi

busy=()
trap 'kill "${busy[@]}" 2>/dev/null' EXIT
for ((number = 0; number < 2 * $(nproc); number++)); do
    nice -n 15 bash -c 'while :; do :; done' &
    busy+=($!)
done
for ((number = 1; number <= times; number++)); do
    nice -n 15 python -m pytest -q -x -p no:cacheprovider "$@" || {
        printf 'run %d of %d failed\n' "$number" "$times"
        exit 1
    }
    printf '%d of %d runs without a failure\n' "$number" "$times"
done
