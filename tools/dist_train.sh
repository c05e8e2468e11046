#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash tools/dist_train.sh CONFIG GPUS [ARGUMENT ...]

Train with GPUS processes on this machine, one per GPU (CPU processes if there is no GPU). Further arguments
go to tools/train.py:
    bash tools/dist_train.sh configs/ts2net_msrvtt.py 8 --work-dir work_dirs/msrvtt --seed 42 --resume

On several machines start it on each machine, with these environment variables:
    NNODES       number of machines (default: 1)
    NODE_RANK    index of this machine, from 0 (default: 0)
    MASTER_ADDR  address of machine 0 (default: 127.0.0.1)
    PORT         free port of machine 0 (default: 29500; on a single machine any free port)
TEXT
}

# shellcheck source=tools/_launch.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/_launch.sh"
check_arguments 2 "$@"
config=$1
gpus=$2
shift 2
launch_torchrun "$gpus" train.py "$config" "$@"
