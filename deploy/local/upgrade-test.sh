#!/usr/bin/env bash
# Rolls a platform from an earlier release to this one while people buy, and audits what is left:
#   deploy/local/upgrade-test.sh v1.2.0       any git ref; its binaries are built in target/upgrade
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$HOME/.cargo/bin:$PATH"
from=${1:?usage: make upgrade-test FROM=<git ref>}
commit=$(git rev-parse --verify --quiet "$from^{commit}") || { echo "upgrade-test: there is no $from" >&2; exit 1; }
readonly SERVICES="gateway catalog search cart inventory order payment notification psp-sandbox"
folder=target/upgrade
mkdir -p "$folder"

echo "upgrade-test: building $from ($commit) in $folder (the first time takes minutes)"
if [ -e "$folder/source/.git" ]; then
    git -C "$folder/source" checkout --quiet --detach "$commit"
else
    git worktree prune
    git worktree add --quiet --detach "$folder/source" "$commit"
fi
packages=()
for name in $SERVICES; do packages+=(--package "ferrocart-$name"); done
(cd "$folder/source" && CARGO_TARGET_DIR="../build" cargo build --bins "${packages[@]}")

echo "upgrade-test: building what is here"
cargo build --package ferrocart-stack --bins "${packages[@]}"
# The platform starts from the old binaries; each replica is replaced by a new one, which migrates while old ones work.
FERROCART_UPGRADE_FROM="$PWD/$folder/build/debug" target/debug/ferrocart-stack test-env -- \
    cargo test --package ferrocart-e2e --test it replicas -- --nocapture
git worktree remove --force "$folder/source"
