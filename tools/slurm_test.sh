#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [ARGUMENT ...]

Test with one process per GPU under Slurm's srun. Further arguments go to tools/test.py:
    GPUS=16 bash tools/slurm_test.sh my_partition ts2net configs/ts2net_msrvtt.py work_dirs/msrvtt/epoch_5.pth

Environment variables:
    GPUS           total number of processes (default: 8)
    GPUS_PER_NODE  processes per machine (default: 8)
    CPUS_PER_TASK  CPU cores per process (default: 5)
    SRUN_ARGS      further arguments for srun, separated by spaces
    GRES           argument of --gres for srun (default: gpu:GPUS_PER_NODE); empty on machines without GPUs
    MASTER_PORT    free port of the first machine (default: a random port)
TEXT
}

# shellcheck source=tools/_launch.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/_launch.sh"
check_arguments 4 "$@"
partition=$1
job=$2
shift 2
launch_slurm "$partition" "$job" test.py "$@"
