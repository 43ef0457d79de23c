#!/usr/bin/env bash
# One call on a machine with a GPU that has torch, torchvision and numpy, and no network; from anywhere:
#
#   benchmarks/gpu.sh IMAGES SECONDS OUT [OPTION ...]
#
# IMAGES is what `python -m benchmarks.gpu pack` made, or an image folder; a folder wheels/ beside it is installed into
# a folder of its own first. SECONDS is the time budget, all of that counted in. OUT is what survives. Options go to
# `python -m benchmarks.gpu run`: --before FOLDER (the last call's OUT), --study JSON, names of parts,
# --device cpu --tiny. PYTHON says which Python, python3 when it says nothing.
set -euo pipefail
if [ $# -lt 3 ]; then sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; fi
began=$SECONDS
images=$(realpath "$1") budget=$2 out=$(realpath -m "$3"); shift 3
cd "$(dirname "$0")/.."
export PYTHONUNBUFFERED=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
python=${PYTHON:-python3}
wheels=$(dirname "$images")/wheels
if [ -d "$wheels" ]; then
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl
  PYTHONPATH+=:$site
fi
left=$((budget - (SECONDS - began)))
"$python" -m benchmarks.gpu run --images "$images" --seconds "$left" --out "$out" "$@"
