#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash tools/quickstart.sh [--seed N] [--work-dir FOLDER]

From nothing to a trained TS2-Net that finds videos by a sentence:

  1. installs what is missing, into the active virtual environment or else into .venv here
     (torch and its CUDA libraries are about 3 GB; an installed mmcv is kept, else it is mmcv-lite)
  2. renders the moving-shapes data set, real .mp4 files with captions   -> data/moving_shapes
  3. decodes them once, so that training need not (530 MB)                -> data/moving_shapes/frames
     and trains a small model on them, with an ETA                        -> work_dirs/quickstart
  4. tests it: the retrieval table, and how often it tells a video from the same one played backwards
  5. encodes the test videos into an index                               -> work_dirs/quickstart/index
     and finds two of them by sentences                                  -> work_dirs/quickstart/search.html

Steps 2 to 5 take about 8 minutes on two idle CPU cores. Run again, it reuses what is
complete; stopped with Ctrl-C, the same command continues where it stopped.

  --seed N           seed of the training (default: 0)
  --work-dir FOLDER  where checkpoints, logs and the page go
                     (default: work_dirs/quickstart, with another seed work_dirs/quickstart-seedN)
TEXT
}

refuse() {
    printf 'error: %s\n\n' "$1" >&2
    usage >&2
    exit 2
}

called_from=$PWD
# shellcheck source=tools/_setup_env.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/_setup_env.sh"
seed=0
work_dir=
while (($#)); do
    case $1 in
        -h | --help) usage; exit ;;
        --seed | --work-dir)
            (($# > 1)) && [[ -n $2 ]] || refuse "$1 needs a value"
            if [[ $1 == --seed ]]; then seed=$2; else work_dir=$2; fi
            shift 2
            ;;
        *) refuse "unknown argument $1" ;;
    esac
done
[[ $seed =~ ^[0-9]+$ ]] || refuse "--seed $seed is not a whole number"

config=configs/ts2net_moving-shapes.py
training_config=configs/features/frame_store_moving-shapes.py  # the same with stored frames
data=data/moving_shapes
if [[ -z $work_dir ]]; then
    work_dir=work_dirs/quickstart
    [[ $seed == 0 ]] || work_dir+=-seed$seed
elif [[ $work_dir != /* ]]; then
    work_dir=${called_from%/}/$work_dir
fi
cd -- "$REPOSITORY"
trap 'printf "\nStopped. The same command continues where this one stopped.\n" >&2; exit 130' INT

train() {
    local settings resume=()
    settings="seed $seed, configs $(cat "$training_config" "$config" configs/_base_/default_runtime.py | cksum)"
    mkdir -p -- "$work_dir"
    if [[ ! -f $work_dir/quickstart.settings ]]; then
        printf '%s\n' "$settings" >"$work_dir/quickstart.settings"
    elif [[ $(<"$work_dir/quickstart.settings") != "$settings" ]]; then
        die "$work_dir was trained with another seed or other configs;" \
            'remove it, or choose another --work-dir'
    fi
    if [[ -f $work_dir/quickstart.done ]]; then
        say "Trained before, kept: $work_dir"
        return
    fi
    say "Storing frames in $data/frames"
    python tools/data/store_frames.py "$training_config" --out "$data/frames" --format bmp
    [[ ! -f $work_dir/last_checkpoint ]] || resume=(--resume)
    say "Training, with checkpoints in $work_dir"
    python tools/train.py "$training_config" --work-dir "$work_dir" --seed "$seed" "${resume[@]}"
    touch -- "$work_dir/quickstart.done"
}

# The file states where the last checkpoint was written; the folder may have moved since.
find_checkpoint() {
    printf '%s\n' "$work_dir/$(basename -- "$(<"$work_dir/last_checkpoint")")"
}

# The two sentences of the pair that the README shows: each is true of the other's video played backwards.
choose_sentences() {
    python - "$data/test.json" <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding='utf-8') as file:
    videos = json.load(file)
name = 'test/000062.mp4'
for name in (name, videos[name]['reversal']):
    print(f'{name}\t{videos[name]["captions"][0]}')
PYTHON
}

search() {
    local name sentence names=() sentences=()
    while IFS=$'\t' read -r name sentence; do
        names+=("${name##*/}")
        sentences+=("$sentence")
    done < <(choose_sentences)
    say "Encoding $data/test into an index"
    python tools/encode.py "$config" "$checkpoint" "$data/test" --index "$index" --whole
    say 'Searching the index for two sentences'
    python tools/search.py "$config" "$checkpoint" "$index" "${sentences[@]}" --topk 5 \
        --html "$work_dir/search.html"
    echo 'The videos made for these sentences (each is a time reversal of what the other one shows):'
    printf '  %s: %s\n' "${names[0]}" "${sentences[0]}" "${names[1]}" "${sentences[1]}"
}

set_up_environment app
# The loaders' processes need the cores too: with a thread a core, a training step took up to five
# times as long on a busy machine. It also makes the arithmetic the same on every number of cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
say "Rendering $data"
python tools/data/moving_shapes/render.py --out "$data"
train
checkpoint=$(find_checkpoint)
index=$work_dir/index
say "Testing $checkpoint"
python tools/test.py "$config" "$checkpoint" --work-dir "$work_dir/test"
search
say "Done. Frames of the hits: $work_dir/search.html"
python=$(command -v python)
printf 'Another sentence: %q tools/search.py %q %q %q %q\n' \
    "$python" "$config" "$checkpoint" "$index" 'a green circle sinks'
printf 'In the browser: %q tools/app.py %q %q %q\n' "$python" "$config" "$checkpoint" "$index"
