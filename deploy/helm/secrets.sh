#!/usr/bin/env bash
# Prints the Secrets and the ConfigMap that a release with bundled stores and the sandbox needs, as YAML, for trying out:
#   deploy/helm/secrets.sh ferrocart | kubectl apply --namespace ferrocart --filename -
# They are made of what `make compose-env` makes (.env and .ferrocart/compose/keys), which stays as it is when it is there.
set -euo pipefail
release=${1:?usage: deploy/helm/secrets.sh RELEASE}
root=${FERROCART_COMPOSE_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
FERROCART_COMPOSE_ROOT=$root "$(dirname "$0")/../compose/env.sh" >&2
full=$release
case $release in *ferrocart*) ;; *) full=$release-ferrocart ;; esac
# shellcheck disable=SC1091 # made above
set -a && . "$root/.env" && set +a

base64_of() { openssl base64 -A; }

# secret NAME [KEY VALUE]... ; a value that begins with @ is a file.
secret() {
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: { name: %s-%s }\ndata:\n' "$full" "$1"
    shift
    while [ $# -gt 0 ]; do
        case $2 in
            @*) printf '  %s: %s\n' "$1" "$(base64_of <"${2#@}")" ;;
            *) printf '  %s: %s\n' "$1" "$(printf '%s' "$2" | base64_of)" ;;
        esac
        shift 2
    done
}

keys=$root/.ferrocart/compose/keys
database() { printf 'postgres://%s:%s@%s-postgresql:5432/%s' "$1" "$2" "$full" "$1"; }
cache="redis://:$REDIS_PASSWORD@$full-redis:6379/0"
psp=(psp-api-key "$PSP_API_KEY" psp-webhook-secret "$PSP_WEBHOOK_SECRET" psp-publishable-key "$PSP_PUBLISHABLE_KEY")

printf -- '---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: %s-internal-jwks }\ndata:\n  internal-jwks.json: |\n' "$full"
sed 's/^/    /' "$keys/internal-jwks.json"
secret gateway signing-key "@$keys/gateway.pem" jwt-signing-key "@$keys/gateway-jwt.pem" \
    database-url "$(database identity "$POSTGRES_IDENTITY_PASSWORD")" redis-url "$cache" \
    bootstrap-admin-email "$ADMIN_EMAIL" bootstrap-admin-password "$ADMIN_PASSWORD"
secret catalog signing-key "@$keys/catalog.pem" database-url "$(database catalog "$POSTGRES_CATALOG_PASSWORD")" redis-url "$cache"
secret search signing-key "@$keys/search.pem" redis-url "$cache"
secret cart signing-key "@$keys/cart.pem" redis-url "redis://:$REDIS_CART_PASSWORD@$full-redis-cart:6379/0"
secret inventory signing-key "@$keys/inventory.pem" database-url "$(database inventory "$POSTGRES_INVENTORY_PASSWORD")" redis-url "$cache"
secret order signing-key "@$keys/order.pem" database-url "$(database orders "$POSTGRES_ORDERS_PASSWORD")" redis-url "$cache"
secret payment signing-key "@$keys/payment.pem" database-url "$(database payments "$POSTGRES_PAYMENTS_PASSWORD")" "${psp[@]}"
secret notification signing-key "@$keys/notification.pem" \
    database-url "$(database notifications "$POSTGRES_NOTIFICATIONS_PASSWORD")" smtp-url "smtp://$full-mailpit:1025" \
    webhook-seal-keys "$WEBHOOK_SEAL_KEYS"
secret postgresql superuser-password "$POSTGRES_SUPERUSER_PASSWORD" \
    identity-password "$POSTGRES_IDENTITY_PASSWORD" catalog-password "$POSTGRES_CATALOG_PASSWORD" \
    inventory-password "$POSTGRES_INVENTORY_PASSWORD" orders-password "$POSTGRES_ORDERS_PASSWORD" \
    payments-password "$POSTGRES_PAYMENTS_PASSWORD" notifications-password "$POSTGRES_NOTIFICATIONS_PASSWORD"
secret redis password "$REDIS_PASSWORD"
secret redis-cart password "$REDIS_CART_PASSWORD"
secret kafka cluster-id "$KAFKA_CLUSTER_ID"
