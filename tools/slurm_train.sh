#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [ARGUMENT ...]

Trains with one process a GPU under Slurm's srun. Further arguments go to tools/train.py:
    GPUS=16 bash tools/slurm_train.sh my_partition ts2net configs/ts2net_msrvtt.py --work-dir work_dirs/msrvtt --resume

Environment variables:
    GPUS           processes in all (default: 8)
    GPUS_PER_NODE  processes of a machine (default: 8)
    CPUS_PER_TASK  cores of a process (default: 5)
    SRUN_ARGS      further arguments of srun, separated by spaces
    GRES           what srun's --gres asks for (default: gpu:GPUS_PER_NODE); empty for machines without GPUs
    MASTER_PORT    free port of the first machine (default: drawn at random)
TEXT
}

# shellcheck source=tools/_launch.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/_launch.sh"
check_arguments 3 "$@"
partition=$1
job=$2
shift 2
launch_slurm "$partition" "$job" train.py "$@"
