#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash tools/dist_train.sh CONFIG GPUS [ARGUMENT ...]

Trains with GPUS processes on this machine, one a GPU; without GPUs they are CPU processes. Further arguments
go to tools/train.py:
    bash tools/dist_train.sh configs/ts2net_msrvtt.py 8 --work-dir work_dirs/msrvtt --seed 42 --resume

On several machines start it on each, with the environment variables
    NNODES       machines (default: 1)
    NODE_RANK    number of this machine, from 0 (default: 0)
    MASTER_ADDR  address of machine 0 (default: 127.0.0.1)
    PORT         free port of machine 0 (default: 29500; on one machine any free one)
TEXT
}

# shellcheck source=tools/_launch.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/_launch.sh"
check_arguments 2 "$@"
config=$1
gpus=$2
shift 2
launch_torchrun "$gpus" train.py "$config" "$@"
