#!/usr/bin/env bash
# Makes what is secret in a platform under docker compose, once: passwords in .env, keys in .ferrocart/compose/keys.
# What is there stays, because the volumes know it; to begin anew: docker compose down --volumes, then remove both.
set -euo pipefail
cd "${FERROCART_COMPOSE_ROOT:-$(dirname "$0")/../..}"
umask 077

readonly ENV_FILE=.env KEYS=.ferrocart/compose/keys
readonly SERVICES="gateway catalog search cart inventory order payment notification"

say() { printf 'compose-env: %s\n' "$*"; }
hex() { openssl rand -hex "$1"; }
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

command -v openssl >/dev/null || { echo "compose-env: openssl is missing" >&2; exit 1; }

# A UUID in Kafka's short form; one that begins with a dash would be read as an option.
kafka_cluster_id() {
    local id
    while :; do
        id=$(openssl rand 16 | base64url)
        [ "${id#-}" = "$id" ] && break
    done
    printf '%s\n' "$id"
}

# Written aside and renamed: a file that is there is whole.
write_env() {
    local name
    {
        echo "# Made by deploy/compose/env.sh. Secret: never commit it."
        echo "POSTGRES_SUPERUSER_PASSWORD=$(hex 20)"
        for name in IDENTITY CATALOG INVENTORY ORDERS PAYMENTS NOTIFICATIONS; do
            echo "POSTGRES_${name}_PASSWORD=$(hex 20)"
        done
        echo "REDIS_PASSWORD=$(hex 20)"
        echo "REDIS_CART_PASSWORD=$(hex 20)"
        echo "KAFKA_CLUSTER_ID=$(kafka_cluster_id)"
        echo "PSP_API_KEY=sk_test_$(hex 16)"
        echo "PSP_PUBLISHABLE_KEY=pk_test_$(hex 16)"
        echo "PSP_WEBHOOK_SECRET=whsec_$(hex 24)"
        echo "WEBHOOK_SEAL_KEYS=$(openssl rand -base64 32)"
        echo "ADMIN_EMAIL=admin@example.com"
        echo "ADMIN_PASSWORD=$(hex 10)"
        echo "GRAFANA_PASSWORD=$(hex 10)"
    } >"$ENV_FILE.new"
    mv "$ENV_FILE.new" "$ENV_FILE"
}

# PKCS#8, readable by the container's user: the folder is closed to everybody else on this machine, and each
# container is given its own key alone.
make_key() {
    [ -e "$KEYS/$1.pem" ] && return 0
    openssl genpkey -algorithm ed25519 -out "$KEYS/$1.pem.new" 2>/dev/null
    chmod 444 "$KEYS/$1.pem.new"
    mv "$KEYS/$1.pem.new" "$KEYS/$1.pem"
}

write_key_set() {
    local name separator='' x
    {
        printf '{"keys": ['
        for name in $SERVICES; do
            # The last 32 bytes of the public key's document are the key.
            x=$(openssl pkey -in "$KEYS/$name.pem" -pubout -outform DER | tail -c 32 | base64url)
            printf '%s\n  {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "%s:1", "x": "%s"}' \
                "$separator" "$name" "$x"
            separator=,
        done
        printf '\n]}\n'
    } >"$KEYS/internal-jwks.json.new"
    chmod 444 "$KEYS/internal-jwks.json.new"
    mv -f "$KEYS/internal-jwks.json.new" "$KEYS/internal-jwks.json"
}

# What a file of an older version lacks.
add_missing() {
    grep -q '^WEBHOOK_SEAL_KEYS=' "$ENV_FILE" || echo "WEBHOOK_SEAL_KEYS=$(openssl rand -base64 32)" >>"$ENV_FILE"
}

if [ -e "$ENV_FILE" ]; then add_missing; say "$ENV_FILE is there and stays"; else write_env; say "wrote $ENV_FILE"; fi
mkdir -p "$KEYS"
for name in $SERVICES gateway-jwt; do make_key "$name"; done
write_key_set
say "the keys are in $KEYS; next: docker compose up --build --wait"
