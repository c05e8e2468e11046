#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [ARGUMENT ...]

Tests with GPUS processes on this machine, one a GPU; without GPUs they are CPU processes. Further arguments
go to tools/test.py:
    bash tools/dist_test.sh configs/ts2net_msrvtt.py work_dirs/msrvtt/epoch_5.pth 8 --dump scores.npz

On several machines start it on each, with the environment variables
    NNODES       machines (default: 1)
    NODE_RANK    number of this machine, from 0 (default: 0)
    MASTER_ADDR  address of machine 0 (default: 127.0.0.1)
    PORT         free port of machine 0 (default: 29500; on one machine any free one)
TEXT
}

# shellcheck source=tools/_launch.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/_launch.sh"
check_arguments 3 "$@"
config=$1
checkpoint=$2
gpus=$3
shift 3
launch_torchrun "$gpus" test.py "$config" "$checkpoint" "$@"
