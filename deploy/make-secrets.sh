#!/usr/bin/env bash
# Draws the passwords of docker-compose.yml, once: existing ones are kept. To use servers of the lab's own, write
# their addresses into database_url and redis_url.
set -euo pipefail
folder=${1:-$(dirname "$0")/secrets}

# Compose shows each file to its containers as it is here: readable for their users, behind a closed folder.
mkdir -p "$folder"
chmod 700 "$folder"
umask 022
secret() { [ -e "$folder/$1" ] || printf '%s\n' "$2" >"$folder/$1"; }
password() { od -An -vtx1 -N24 /dev/urandom | tr -d ' \n'; }

secret database_password "$(password)"
secret redis_password "$(password)"
secret database_url "postgresql+psycopg://sieve:$(cat "$folder/database_password")@postgres:5432/sieve"
secret redis_url "redis://:$(cat "$folder/redis_password")@redis:6379/0"
echo "secrets are in $folder"
