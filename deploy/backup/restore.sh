#!/usr/bin/env bash
# restore.sh FOLDER: what backup.sh wrote, into the six databases of the server that POSTGRES_ADMIN_URL names. They and
# their roles must be there (deploy/compose/postgres-init.sh makes them) and empty: nothing is ever overwritten.
set -euo pipefail

readonly DATABASES="identity catalog inventory orders payments notifications"
: "${POSTGRES_ADMIN_URL:?names the server}"
source=${1:?a folder that backup.sh made}
server=${POSTGRES_ADMIN_URL%/*}

(cd "$source" && sha256sum --check --quiet --strict SHA256SUMS)
for name in $DATABASES; do
    [ -e "$source/$name.dump" ] || { echo "restore: $source has no $name" >&2; exit 1; }
    tables=$(psql --no-psqlrc --dbname="$server/$name" --tuples-only --no-align --set ON_ERROR_STOP=1 --command \
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')")
    [ "$tables" = 0 ] || { echo "restore: $name is not empty: it has $tables tables" >&2; exit 1; }
done
for name in $DATABASES; do
    pg_restore --exit-on-error --single-transaction --dbname="$server/$name" "$source/$name.dump"
    psql --no-psqlrc --quiet --dbname="$server/$name" --set ON_ERROR_STOP=1 --command 'ANALYZE'
    echo "restore: $name"
done
