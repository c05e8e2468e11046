# Prepares the Python environment of quickstart.sh and run_tests.sh. Sourced it defines
# set_up_environment; run on its own it calls it: bash tools/_setup_env.sh [EXTRA]

REPOSITORY=$(CDPATH= cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
CONSTRAINTS=$REPOSITORY/requirements/constraints.txt

say() { printf '\n== %s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Put `python` of a prepared environment first on PATH. $1: an extra of setup.cfg, or nothing.
set_up_environment() {
    local extra=${1:-} done_before wanted stamp
    choose_environment
    export PATH=$ENVIRONMENT/bin:$PATH
    wanted=$(cd -- "$REPOSITORY" && pwd && cat setup.cfg pyproject.toml requirements/*.txt | cksum)
    # The extra "dev" brings all that the plain installation does.
    for done_before in "${extra:-base}" dev; do
        stamp=$ENVIRONMENT/.ts2net_mm-$done_before
        if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
            return
        fi
    done
    make_environment
    check_system_libraries
    install_packages "$extra"
    printf '%s\n' "$wanted" >"$ENVIRONMENT/.ts2net_mm-${extra:-base}"
}

# Set ENVIRONMENT, and OWN=1 if it is the .venv of this repository.
choose_environment() {
    OWN=
    if [[ -n ${VIRTUAL_ENV:-} ]]; then
        ENVIRONMENT=$VIRTUAL_ENV
    elif [[ -n ${CONDA_PREFIX:-} && ${CONDA_DEFAULT_ENV:-} != base ]]; then
        ENVIRONMENT=$CONDA_PREFIX
    else
        ENVIRONMENT=$REPOSITORY/.venv
    fi
    if [[ $ENVIRONMENT == "$REPOSITORY/.venv" ]]; then
        OWN=1
        export VIRTUAL_ENV=$ENVIRONMENT
        unset PYTHONHOME
    fi
}

make_environment() {
    local python=$ENVIRONMENT/bin/python base
    if [[ -n $OWN ]] && ! "$python" -m pip --version >/dev/null 2>&1; then
        base=$(find_python)
        say "Making the virtual environment $ENVIRONMENT with $("$base" --version)"
        if ! "$base" -m venv --clear "$ENVIRONMENT"; then
            rm -rf -- "$ENVIRONMENT"
            die "$base cannot make a virtual environment (Debian, Ubuntu: install python3-venv)"
        fi
    fi
    [[ -x $python ]] || die "$ENVIRONMENT is the active environment, but has no bin/python"
    is_recent "$python" || die "$ENVIRONMENT has $("$python" --version), needed is Python 3.10 or newer"
    "$python" -m pip --version >/dev/null 2>&1 ||
        "$python" -m ensurepip >/dev/null 2>&1 ||
        die "the active environment $ENVIRONMENT has no pip; install it there, or deactivate it"
}

find_python() {
    local candidate candidates=(python3 python3.13 python3.12 python3.11 python3.10)
    [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if is_recent "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Python 3.10 or newer is needed, tried: ${candidates[*]} (python3 is" \
        "$(python3 --version 2>&1)); name one with PYTHON=/path/to/python"
}

is_recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

# OpenCV's wheels expect these of the system, and minimal images do not have them.
check_system_libraries() {
    local missing
    [[ $(uname -s) == Linux ]] || return 0
    python -c 'import cv2' 2>/dev/null && return
    missing=$(python - libGL.so.1 libgthread-2.0.so.0 libxcb.so.1 <<'PYTHON'
import ctypes, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name, end=' ')
PYTHON
    )
    [[ -n $missing ]] || return 0
    say "OpenCV needs system libraries that are missing: $missing"
    if ! command -v apt-get >/dev/null; then
        die 'install them with the package manager of this system'
    elif [[ $EUID -ne 0 ]]; then
        die 'install them first: sudo apt-get install libgl1 libglib2.0-0'
    fi
    apt-get update
    apt-get install -y --no-install-recommends libgl1 libglib2.0-0
}

install_packages() {
    local extras=$1 constraints=$CONSTRAINTS
    if [[ -z $OWN ]]; then
        constraints=$ENVIRONMENT/.ts2net_mm-constraints.txt
        keep_installed >"$constraints"
    fi
    has mmcv || has mmcv-lite || extras=${extras:+$extras,}lite
    if ! has torch || ! has torchvision; then
        say 'Installing torch and torchvision (the large part: about 3 GB with the CUDA libraries)'
        install -c "$constraints" torch torchvision
    elif [[ -z $OWN ]]; then
        say "Keeping $(grep -E '^(torch|torchvision|mmcv|mmcv-lite)==' "$constraints" | xargs) of" \
            "$ENVIRONMENT (tested: $(grep -E '^(torch|torchvision)==' "$CONSTRAINTS" | xargs))"
    fi
    say 'Installing ts2net-mm and what it needs'
    install -c "$constraints" -e "$REPOSITORY${extras:+[$extras]}"
}

install() {
    python -m pip install --disable-pip-version-check "$@" && return
    [[ -n $OWN ]] || echo 'Deactivate this environment to let the script make one of its own.' >&2
    die 'pip could not install the packages; the same command tries again'
}

# Is a distribution installed?
has() {
    python -c 'import sys; from importlib.metadata import version; version(sys.argv[1])' "$1" \
        2>/dev/null
}

# Constraints under which pip changes nothing that the user installed: a conflict is an error then.
# The tested versions join them unless the user's own torch sets another course.
keep_installed() {
    python - "$CONSTRAINTS" <<'PYTHON'
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

installed = {}
for one in distributions():
    name = re.sub('[-_.]+', '-', one.metadata['Name'] or '').lower()
    if name not in ('', 'pip', 'setuptools', 'wheel', 'ts2net-mm'):
        installed.setdefault(name, f'{name}=={one.version}')
lines = list(installed.values())
if 'torch' not in installed:
    tested = Path(sys.argv[1]).read_text().splitlines()
    lines += [line for line in tested if line.split('==')[0].lower() not in installed]
print('\n'.join(lines))
PYTHON
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    set_up_environment "$@"
fi
