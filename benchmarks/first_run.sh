#!/usr/bin/env bash
# The first run, as docs/first-run.md tells it: from a fresh clone to a downloaded model, each command and its seconds.
#
#   benchmarks/first_run.sh [FOLDER]      the clone goes there; default: a temporary one, removed at the end
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
if [ $# -gt 0 ]; then
    folder=$1
else
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    chmod 711 "$folder"
fi
export SIEVE_CONFIG=$folder/config.toml SIEVE_HOME=$folder/data
unset SIEVE_URL SIEVE_API_KEY

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%8.1f s", b - a }'; }
timed() {
    local began code=0
    began=$(now)
    "$@" >"$folder/said" 2>&1 || code=$?
    echo "$(since "$began")  $*"
    [ "$code" -eq 0 ] || { cat "$folder/said"; exit "$code"; }
}

all=$(now)
timed git clone --quiet "$here" "$folder/sieve"
cd "$folder/sieve"
timed make setup
export PATH=$PWD/.venv/bin:$PATH

began=$(now)
sieve up >"$folder/up" 2>&1 &
up=$!
until grep -q "is up" "$folder/up"; do
    kill -0 "$up" || { cat "$folder/up"; exit 1; }
    sleep 0.1
done
echo "$(since "$began")  sieve up   (until it is ready)"

timed sieve submit train --dataset digits --architecture convnet --dry-run
timed sieve submit train --dataset digits --architecture convnet --name first
job=$(sieve jobs --quiet -n 1)
echo "$(since "$all")  from nothing to a submitted job"
timed sieve watch "$job"
timed sieve show "$job"
timed sieve download "$job" "$folder/got"
ls "$folder/got"

began=$(now)
kill -INT "$up"
wait "$up"
echo "$(since "$began")  Ctrl-C"
