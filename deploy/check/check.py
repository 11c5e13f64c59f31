#!/usr/bin/env python3
"""Holds the deployment files against the code that they deploy. Run by `make deploy-check`.

What no tool of the outside can see: settings that do not exist, neighbours without an address, secrets in the file,
versions that differ, alerts on metrics that nobody exports, alerts without a page in the runbook.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ["gateway", "catalog", "search", "cart", "inventory", "order", "payment", "notification"]
# The port of each service: a default URL that leads to another one is a slip that no test of one service sees.
PORTS = {name: 8080 + number for number, name in enumerate(SERVICES)}
DATABASES = {
    "gateway": "identity",
    "catalog": "catalog",
    "inventory": "inventory",
    "order": "orders",
    "payment": "payments",
    "notification": "notifications",
}
# Set only where a feature is wanted, or by the default.
OPTIONAL = {"psp_return_url", "oidc_jwks_url", "tls_key_file"}
# Made by Prometheus itself.
FOREIGN_METRICS = {"up", "ALERTS"}

problems: list[str] = []


def complain(text: str) -> None:
    problems.append(text)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def flat(table: dict, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for key, value in table.items():
        name = prefix + key.upper()
        keys |= flat(value, name + "__") if isinstance(value, dict) else {name}
    return keys


def check_defaults(name: str) -> None:
    """Each service listens where its neighbours look for it."""
    defaults = tomllib.loads(read(f"services/{name}/config.default.toml"))
    if defaults["port"] != PORTS[name]:
        complain(f"{name}: its port is {defaults['port']} instead of {PORTS[name]}")
    for key, value in defaults.items():
        neighbour = key.removesuffix("_url")
        if neighbour in PORTS and neighbour != key and value != f"http://127.0.0.1:{PORTS[neighbour]}":
            complain(f"{name}: {key} leads to {value}, {neighbour} is at {PORTS[neighbour]}")


def check_settings(name: str, service: dict) -> None:
    """Every variable is a setting of that service, and everything that it needs is set."""
    defaults = tomllib.loads(read(f"services/{name}/config.default.toml"))
    environment = service.get("environment", {})
    for variable in sorted(set(environment) - flat(defaults)):
        complain(f"compose: {name}: {variable} is not a setting of this service")
    needed = [key for key in defaults if key.endswith(("_url", "_key_file", "_jwks_file")) and key not in OPTIONAL]
    needed += ["kafka_brokers", "host", "port"]
    for key in needed:
        if key.upper() not in environment:
            complain(f"compose: {name}: {key.upper()} is not set")
    if str(environment.get("PORT")) != str(defaults["port"]):
        complain(f"compose: {name}: PORT is {environment.get('PORT')}, the service's own is {defaults['port']}")
    for key, value in environment.items():
        neighbour = re.fullmatch(r"http://([a-z]+):(\d+)", str(value))
        if neighbour and neighbour[1] in SERVICES:
            port = tomllib.loads(read(f"services/{neighbour[1]}/config.default.toml"))["port"]
            if key != f"{neighbour[1].upper()}_URL" or int(neighbour[2]) != port:
                complain(f"compose: {name}: {key} leads to {value}")


def check_least_privilege(name: str, service: dict) -> None:
    """A service is given its own key and its own role, hardened as all are."""
    own = {f"{name}-key", "internal-jwks"} | ({"gateway-jwt-key"} if name == "gateway" else set())
    given = {secret if isinstance(secret, str) else secret["source"] for secret in service.get("secrets", [])}
    if given != own:
        complain(f"compose: {name}: its secrets are {sorted(given)} instead of {sorted(own)}")
    url = service["environment"].get("DATABASE_URL", "")
    database = DATABASES.get(name)
    if database and not url.startswith(f"postgres://{database}:${{POSTGRES_{database.upper()}_PASSWORD:"):
        complain(f"compose: {name}: DATABASE_URL is not the role {database}'s")
    if database and not url.endswith(f"/{database}"):
        complain(f"compose: {name}: DATABASE_URL leads elsewhere than to {database}")
    if not service.get("read_only") or service.get("cap_drop") != ["ALL"]:
        complain(f"compose: {name}: the root is writable, or capabilities are left")
    if "healthcheck" not in service or not service.get("depends_on"):
        complain(f"compose: {name}: no health check, or it waits for nothing")


def check_secrets(text: str) -> None:
    """Passwords are references, and the script makes each of them."""
    for line in text.splitlines():
        match = re.match(r"\s*([A-Z_]*(?:PASSWORD|SECRET|API_KEY))\s*:\s*(.+)", line)
        if match and not match[2].strip('"').startswith("${"):
            complain(f"compose: {match[1]} is written out")
    with tempfile.TemporaryDirectory() as folder:
        script = [str(ROOT / "deploy/compose/env.sh")]
        environment = {**os.environ, "FERROCART_COMPOSE_ROOT": folder}
        made = []
        for _ in range(2):
            subprocess.run(script, env=environment, check=True, stdout=subprocess.DEVNULL)
            made.append((Path(folder) / ".env").read_text(encoding="utf-8"))
        if made[0] != made[1]:
            complain("compose: env.sh changes what is there")
        for name in set(re.findall(r"\$\{([A-Z_]+)", text)) - set(re.findall(r"^([A-Z_]+)=.", made[0], re.M)):
            complain(f"compose: env.sh does not make {name}")
        for file in re.findall(r"file: (\.ferrocart/\S+)", text):
            if not (Path(folder) / file.rstrip(" }")).exists():
                complain(f"compose: env.sh does not make {file}")


def check_compose() -> None:
    text = read("docker-compose.yml")
    services = yaml.safe_load(text)["services"]
    for name in SERVICES:
        if name not in services:
            complain(f"compose: there is no {name}")
            continue
        check_settings(name, services[name])
        check_least_privilege(name, services[name])
    for name, service in services.items():
        for other in service.get("depends_on", {}):
            if "healthcheck" not in services.get(other, {}):
                complain(f"compose: {name} waits for {other}, which has no health check")
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                complain(f"compose: {name} publishes {port} beyond this machine")
    kafka = re.search(r"<kafka.version>(.*)</kafka.version>", read("deploy/local/kafka/pom.xml"))
    if not kafka or services["kafka"]["image"] != f"apache/kafka:{kafka[1]}":
        complain("compose: Kafka's version is not that of deploy/local/kafka/pom.xml")
    check_secrets(text)


def check_image() -> None:
    text = read("Dockerfile")
    for name in SERVICES:
        if not re.search(rf'programs="[^"]*\b{name}\b', text):
            complain(f"Dockerfile: {name} is not built")
    rust = re.search(r'^rust-version = "(.*)"', read("Cargo.toml"), re.M)
    if not rust or f"ARG RUST_VERSION={rust[1]}" not in text:
        complain("Dockerfile: RUST_VERSION is not that of Cargo.toml")
    if not re.search(r"^USER 10001:10001$", text, re.M):
        complain("Dockerfile: it runs as root")


def exported_metrics() -> set[str]:
    found: set[str] = set()
    for folder in ("crates", "services"):
        for path in (ROOT / folder).rglob("src/**/*.rs"):
            code = path.read_text(encoding="utf-8")
            found |= set(re.findall(r'(?:counter|gauge|histogram)!\(\s*"([a-z_0-9]+)"', code))
    return found


def metrics_of(expression: str) -> set[str]:
    """The metrics' names in a query: what is no string, no label and no function."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()\b", bare)
    return {word for word in words if "_" in word or word == "up"} - {"histogram_quantile"}


def check_rules() -> None:
    groups = yaml.safe_load(read("deploy/prometheus/rules.yml"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    known = exported_metrics() | FOREIGN_METRICS | {rule["record"] for rule in rules if "record" in rule}
    headings = {line.lower() for line in re.findall(r"^#+ (\w+)$", read("docs/operations.md"), re.M)}
    tests = read("deploy/prometheus/rules_test.yml")
    for rule in rules:
        name = rule.get("alert") or rule["record"]
        for metric in metrics_of(rule["expr"]):
            base = re.sub(r"_(?:bucket|sum|count)$", "", metric)
            if metric not in known and base not in known:
                complain(f"rules: {name}: nobody exports {metric}")
        if "alert" in rule:
            if rule["annotations"].get("runbook") != f"docs/operations.md#{name.lower()}":
                complain(f"rules: {name}: the runbook is not its own")
            if name.lower() not in headings:
                complain(f"docs/operations.md: nothing on {name}")
            if f"alertname: {name}," not in tests or f'alertname="{name}"' not in tests:
                complain(f"rules_test: {name} is not tested both ways")
    targets = yaml.safe_load(read("deploy/prometheus/prometheus.yml"))["scrape_configs"][0]["static_configs"]
    if sorted(target["labels"]["service"] for target in targets) != sorted(SERVICES):
        complain("prometheus.yml: not all services are scraped")


def main() -> int:
    for name in SERVICES:
        check_defaults(name)
    check_compose()
    check_image()
    check_rules()
    for problem in problems:
        print(f"deploy-check: {problem}", file=sys.stderr)
    if not problems:
        print("deploy-check: image, compose and rules agree with the code")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
