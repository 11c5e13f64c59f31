#!/usr/bin/env bash
# Run by the image once, when its volume is empty: a role and a database for each service, each role able to reach
# its own database alone. The same as crates/stack does on one machine.
set -euo pipefail

sql() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres "$@"; }

sql --command 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC' \
    --command 'REVOKE CONNECT ON DATABASE template1 FROM PUBLIC'
for name in identity catalog inventory orders payments notifications; do
    variable="POSTGRES_${name^^}_PASSWORD"
    # By the environment and not as an argument, which everybody in the container could list.
    role="$name" role_password="${!variable:?}" sql <<'SQL'
\getenv role role
\getenv role_password role_password
CREATE ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'role_password';
CREATE DATABASE :"role" OWNER :"role" ALLOW_CONNECTIONS false;
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
ALTER DATABASE :"role" ALLOW_CONNECTIONS true;
SQL
done
