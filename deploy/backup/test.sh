#!/usr/bin/env bash
# Backs up databases with the services' own tables on a private server, restores them on another one, and compares.
# Run by `make deploy-check`.
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=$(find /usr/lib/postgresql /usr/pgsql-* /opt/homebrew/opt /usr/local/opt -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1 || true)
bin=${bin:-$(command -v initdb || true)}
[ -n "$bin" ] || { echo "backup-test: SKIPPED (there is no PostgreSQL)"; exit 0; }
PATH=$(dirname "$bin"):$PATH

folder=$(mktemp -d)
as_user=(env)
# PostgreSQL does not run as root.
if [ "$(id -u)" = 0 ]; then
    as_user=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    chown postgres "$folder"
fi
stop() {
    for server in old new; do
        [ ! -e "$folder/$server/postmaster.pid" ] ||
            "${as_user[@]}" pg_ctl --pgdata="$folder/$server" --mode=immediate --silent stop || true
    done
    rm -rf "$folder"
}
trap stop EXIT

export PGPASSWORD=test
for name in IDENTITY CATALOG INVENTORY ORDERS PAYMENTS NOTIFICATIONS; do export "POSTGRES_${name}_PASSWORD=test"; done

# Listens on a socket alone: no port of this machine is needed.
start() {
    mkdir "$folder/socket-$1"
    chmod 777 "$folder/socket-$1"
    "${as_user[@]}" initdb --pgdata="$folder/$1" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync \
        >/dev/null
    "${as_user[@]}" pg_ctl --pgdata="$folder/$1" --wait --timeout=120 --silent --log="$folder/$1.log" \
        --options="-c listen_addresses='' -c unix_socket_directories='$folder/socket-$1' -c fsync=off" start
    PGHOST="$folder/socket-$1" POSTGRES_USER=postgres deploy/compose/postgres-init.sh
}
url() { printf 'postgres://postgres@%s/postgres' "${folder//\//%2F}%2Fsocket-$1"; }
on() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host="$folder/socket-$1" --username="$2" --dbname="$2" "${@:3}"; }
# Everything in a database, but for the random word by which newer versions guard the text, and for the parentheses:
# PostgreSQL writes `(a AND b) AND c` of a constraint as `a AND b AND c` once it has read it back.
content() {
    pg_dump --host="$folder/socket-$1" --username=postgres --dbname="$2" | sed '/^\\restrict/d; /^\\unrestrict/d' | tr -d '()'
}

chmod 755 "$folder"
start old
start new
for pair in gateway:identity catalog:catalog inventory:inventory order:orders payment:payments notification:notifications; do
    for file in crates/pg-kit/migrations/*.sql "services/${pair%:*}"/migrations/*.sql; do
        on old "${pair#*:}" --single-transaction --file="$file" >/dev/null
    done
    on old "${pair#*:}" --command "CREATE TABLE canary AS SELECT n, md5(n::text) AS word FROM generate_series(1, 1000) n"
done

backup=$(POSTGRES_ADMIN_URL=$(url old) deploy/backup/backup.sh "$folder/backups")
POSTGRES_ADMIN_URL=$(url new) deploy/backup/restore.sh "$backup" >/dev/null
for name in identity catalog inventory orders payments notifications; do
    content old "$name" >"$folder/old.sql"
    content new "$name" >"$folder/new.sql"
    grep -q '^COPY public.canary' "$folder/new.sql" || { echo "backup-test: $name is empty" >&2; exit 1; }
    diff --brief "$folder/old.sql" "$folder/new.sql" >&2 || { echo "backup-test: $name is not as it was" >&2; exit 1; }
done

# Neither over what is there, nor from what is damaged.
refused() {
    local said
    if said=$(POSTGRES_ADMIN_URL=$(url new) deploy/backup/restore.sh "$backup" 2>&1) || [[ $said != *"$1"* ]]; then
        echo "backup-test: not refused ($1): $said" >&2
        exit 1
    fi
}
refused "identity is not empty"
printf x >>"$backup/payments.dump"
refused "payments.dump: FAILED"
echo "backup-test: six databases restored as they were; full and damaged ones refused"
