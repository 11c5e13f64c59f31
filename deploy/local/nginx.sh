#!/usr/bin/env bash
# Fetches nginx, which `make bench` measures beside the gateway, into .ferrocart: as a program alone, not as a service.
set -euo pipefail
cd "$(dirname "$0")/../.."

if command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || [ -x .ferrocart/nginx/usr/sbin/nginx ]; then exit 0; fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "bench: no nginx on this machine: the gateway is not compared with it"
    exit 0
fi
echo "bench: fetching nginx (Debian's package), to compare the gateway with"
mkdir -p .ferrocart
fresh=$(mktemp -d .ferrocart/nginx.XXXXXX)
trap 'rm -rf "$fresh"' EXIT
chmod 755 "$fresh"
if (cd "$fresh" && apt-get -q download nginx && dpkg-deb -x nginx_*.deb . && rm nginx_*.deb) </dev/null >/dev/null 2>&1 &&
    [ -x "$fresh/usr/sbin/nginx" ]; then
    mv "$fresh" .ferrocart/nginx
else
    echo "bench: nginx could not be had: the gateway is not compared with it"
fi
