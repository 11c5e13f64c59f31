#!/usr/bin/env bash
# backup.sh FOLDER: the six databases, each as of one moment of its own, into FOLDER/<time>; prints that folder.
# POSTGRES_ADMIN_URL names the server, such as postgres://postgres:password@host:5432/postgres. A folder that is
# there is whole: it was read back, and its check sums are in it.
set -euo pipefail
umask 077

readonly DATABASES="identity catalog inventory orders payments notifications"
: "${POSTGRES_ADMIN_URL:?names the server}"
target=${1:?the folder for backups}/$(date -u +%Y%m%dT%H%M%SZ)
server=${POSTGRES_ADMIN_URL%/*}

[ ! -e "$target" ] || { echo "backup: $target is there already" >&2; exit 1; }
mkdir -p "$target.new"
trap 'rm -rf "$target.new"' EXIT
for name in $DATABASES; do
    pg_dump --format=custom --lock-wait-timeout=10s --dbname="$server/$name" --file="$target.new/$name.dump"
    pg_restore --list "$target.new/$name.dump" >/dev/null
done
(cd "$target.new" && sha256sum -- *.dump >SHA256SUMS)
sync "$target.new"/*
mv "$target.new" "$target"
printf '%s\n' "$target"
