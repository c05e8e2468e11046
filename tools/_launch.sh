# Functions of dist_train.sh, dist_test.sh, slurm_train.sh and slurm_test.sh, which source this file.

TOOLS=$(CDPATH= cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# The package of this clone, from any folder.
export PYTHONPATH=$(dirname -- "$TOOLS")${PYTHONPATH:+:$PYTHONPATH}
# One thread per process; torchrun would choose this too, with a warning.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# Print the usage on --help; fail with it if there are fewer than $1 further arguments.
check_arguments() {
    local required=$1 argument
    shift
    for argument in "$@"; do
        if [[ $argument == -h || $argument == --help ]]; then
            usage
            exit
        fi
    done
    if (($# < required)); then
        usage >&2
        die "expected at least $required arguments, found $#"
    fi
}

check_number() {
    [[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 must be a positive number, found '$2'"
}

# Start $1 processes of the script $2 on this machine, with the remaining arguments.
launch_torchrun() {
    local processes=$1 script=$2 meeting
    shift 2
    check_number GPUS "$processes"
    NNODES=${NNODES:-1}
    check_number NNODES "$NNODES"
    if ((NNODES == 1)) && [[ -z ${PORT:-} ]]; then
        meeting=(--standalone)  # a free port, so that several runs can share the machine
    else
        meeting=(--nnodes="$NNODES" --node-rank="${NODE_RANK:-0}"
            --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}")
    fi
    exec python -m torch.distributed.run "${meeting[@]}" --nproc-per-node="$processes" \
        "$TOOLS/$script" "$@" --launcher pytorch
}

# Start the script $3 on partition $1 as job $2, with the remaining arguments.
launch_slurm() {
    local partition=$1 job=$2 script=$3 settings
    shift 3
    GPUS=${GPUS:-8}
    GPUS_PER_NODE=${GPUS_PER_NODE:-8}
    check_number GPUS "$GPUS"
    check_number GPUS_PER_NODE "$GPUS_PER_NODE"
    export MASTER_PORT=${MASTER_PORT:-$((12000 + RANDOM % 20000))}
    settings=(-p "$partition" --job-name="$job" --ntasks="$GPUS"
        --ntasks-per-node="$GPUS_PER_NODE" --cpus-per-task="${CPUS_PER_TASK:-5}"
        --kill-on-bad-exit=1)
    GRES=${GRES-gpu:$GPUS_PER_NODE}
    [[ -z $GRES ]] || settings+=(--gres="$GRES")
    # SRUN_ARGS holds several arguments.
    # shellcheck disable=SC2086
    exec srun "${settings[@]}" ${SRUN_ARGS:-} \
        python -u "$TOOLS/$script" "$@" --launcher slurm
}
