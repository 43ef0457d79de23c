#!/usr/bin/env bash
# Makes an environment and installs a lock into it: exact versions, every file's hash checked. `make setup` calls this
# for .venv and requirements.lock, `make bench` with two arguments: the environment of the libraries we are measured
# against, and its lock.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
lock=${2:-requirements.lock}

usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; }

if ! usable "$venv/bin/python"; then
    for python in ${PYTHON:-python3.12 python3.11 python3}; do
        if usable "$python"; then break; else python=; fi
    done
    if [ -z "$python" ]; then
        echo "setup needs Python 3.11 or 3.12 with venv (on Debian: apt install python3-venv); PYTHON=/path names one" >&2
        exit 1
    fi
    "$python" -m venv --clear "$venv"
fi

# The lock names no registry: packages come from wherever this machine gets them. uv does not read pip's configuration,
# so the index and the certificates that are set there are handed over.
pip_setting() { "$venv/bin/pip" config list 2>/dev/null | sed -n "s/^[^=]*\.$1='\([^']*\)'\$/\1/p" | tail -n 1; }
index=$(pip_setting index-url)
certificates=$(pip_setting cert)
if [ -n "$index" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"; fi
if [ -n "$certificates" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$certificates}"; fi
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}"

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    sed -n '/^uv==/,/[^\\]$/p' requirements.lock >"$venv/uv.lock"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$venv/uv.lock"
    uv=$venv/bin/uv
fi

packages() { "$uv" pip install --python "$venv/bin/python" --require-hashes --no-deps -r "$lock"; }
if ! packages 2> >(grep -v '^ [+-] ' >&2); then
    echo "setup: uv could not; trying pip, which knows this machine's other package sources" >&2
    "$venv/bin/pip" install --disable-pip-version-check --require-hashes --no-deps -r "$lock"
fi
if [ "$venv" = .venv ]; then
    "$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
fi
