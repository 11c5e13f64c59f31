#!/usr/bin/env python3
"""Holds the chart and the plain manifests against each other, against the services' settings and against Kubernetes.

`--write` makes anew what of k8s/ is taken from the chart: the base, and the objects that an overlay adds to it. An
overlay's patches are written by hand; each overlay must come out as the chart does with that environment's values.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/ferrocart"
K8S = ROOT / "k8s"
ENVIRONMENTS = ["development", "production"]
KUBERNETES = "1.33"
NAMESPACE = "ferrocart"
HEADER = "# Taken from deploy/helm/ferrocart by `deploy/check/run.sh --write`; change it there.\n"
# Lists whose order means something.
ORDERED = {"command", "args", "rules", "paths", "groups", "policies", "relabelings"}
# Set where a feature is wanted, or by the default.
OPTIONAL = {"psp_return_url", "smtp_url", "redis_url", "database_url", "oidc_jwks_url"}
# Kinds that other programs bring along.
FOREIGN = {"ScaledObject", "PodMonitor", "PrometheusRule"}

problems: list[str] = []


def complain(text: str) -> None:
    problems.append(text)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        sys.exit(f"deploy-check: {' '.join(command)}\n{done.stderr}")
    return done.stdout


def objects(text: str) -> list[dict]:
    return [each for each in yaml.safe_load_all(text) if each]


@functools.cache
def chart(environment: str | None) -> list[dict]:
    command = [os.environ["HELM"], "template", "ferrocart", str(CHART), "--namespace", NAMESPACE,
               "--kube-version", KUBERNETES]
    if environment:
        command += ["--values", str(CHART / f"environments/{environment}.yaml")]
    return objects(run(*command))


def identity(each: dict) -> tuple[str, str]:
    return each["kind"], each["metadata"]["name"]


def plain(node):
    """Without what is Helm's alone; the version is the image's."""
    if isinstance(node, list):
        return [plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    drop = ("helm.sh/", "app.kubernetes.io/managed-by", "app.kubernetes.io/version")
    kept = {key: plain(value) for key, value in node.items() if not key.startswith(drop)}
    return {key: value for key, value in kept.items() if not (key == "annotations" and not value)}


def canonical(node, name=""):
    """So that two ways to say the same compare as equal."""
    if isinstance(node, dict):
        return {key: canonical(value, key) for key, value in node.items() if (name, key) != ("metadata", "namespace")}
    if isinstance(node, list):
        items = [canonical(item) for item in node]
        return items if name in ORDERED else sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return node


def write_objects(path: Path, some: list[dict]) -> None:
    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper, value):
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    path.write_text(HEADER + yaml.dump_all(some, Dumper=Dumper, sort_keys=False, width=140), encoding="utf-8")


def files() -> dict[Path, list[dict]]:
    """What of k8s/ comes from the chart, by file."""
    base = [plain(each) for each in chart(None)]
    found: dict[Path, list[dict]] = {}
    for each in base:
        name = each["metadata"]["labels"]["app.kubernetes.io/name"]
        found.setdefault(K8S / f"base/{name}.yaml", []).append(each)
    known = {identity(each) for each in base}
    for environment in ENVIRONMENTS:
        added = [plain(each) for each in chart(environment)]
        added = [each for each in added if identity(each) not in known]
        found[K8S / f"overlays/{environment}/added.yaml"] = added
    return found


def write() -> None:
    for path, some in files().items():
        write_objects(path, some)
        print(f"deploy-check: wrote {path.relative_to(ROOT)}")


def check_files() -> None:
    expected = files()
    for path, some in expected.items():
        if not path.exists() or objects(path.read_text(encoding="utf-8")) != some:
            complain(f"{path.relative_to(ROOT)} is not what the chart gives: deploy/check/run.sh --write")
    listed = yaml.safe_load((K8S / "base/kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    for path in expected:
        if path.parent.name == "base" and path.name not in listed:
            complain(f"k8s/base/kustomization.yaml does not list {path.name}")


def differences(ours, theirs, path="") -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            line
            for key in sorted(ours.keys() | theirs.keys())
            for line in differences(ours.get(key), theirs.get(key), f"{path}.{key}")
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [line for i, pair in enumerate(zip(ours, theirs)) for line in differences(*pair, f"{path}[{i}]")]
    return [] if ours == theirs else [f"{path}: {json.dumps(ours)} in the chart, {json.dumps(theirs)} by kustomize"]


def check_overlay(environment: str) -> list[dict]:
    """The overlay and the chart say the same."""
    rendered = chart(environment)
    ours = {identity(each): canonical(plain(each)) for each in rendered}
    built = objects(run(os.environ["KUSTOMIZE"], "build", str(K8S / f"overlays/{environment}")))
    theirs = {identity(each): canonical(each) for each in built}
    theirs.pop(("Namespace", NAMESPACE), None)
    for kind, name in sorted(ours.keys() ^ theirs.keys()):
        where = "the chart" if (kind, name) in ours else "k8s/"
        complain(f"{environment}: {kind} {name} is in {where} alone")
    for key in sorted(ours.keys() & theirs.keys()):
        for line in differences(ours[key], theirs[key]):
            complain(f"{environment}: {key[0]} {key[1]}{line}")
    return rendered


def check_schema(environment: str, rendered: list[dict]) -> None:
    import kubernetes_validate

    for each in rendered:
        if each["kind"] in FOREIGN:
            continue
        try:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            complain(f"{environment}: {' '.join(identity(each))}: {'.'.join(map(str, error.path))}: {error.message}")


def flat(table: dict, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for key, value in table.items():
        name = prefix + key.upper()
        keys |= flat(value, name + "__") if isinstance(value, dict) else {name}
    return keys


def check_pods(environment: str, rendered: list[dict]) -> None:
    """Each service's variables are its settings, its Secret its own, and it is hardened."""
    platform = yaml.safe_load((CHART / "files/platform.yaml").read_text(encoding="utf-8"))
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    for each in rendered:
        labels = each["metadata"].get("labels", {})
        name = labels.get("app.kubernetes.io/name")
        if name not in platform or each["kind"] not in ("Deployment", "StatefulSet", "Job"):
            continue
        where = f"{environment}: {each['kind']} {each['metadata']['name']}"
        defaults = tomllib.loads((ROOT / f"services/{name}/config.default.toml").read_text(encoding="utf-8"))
        pod = each["spec"]["template"]["spec"]
        container = pod["containers"][0]
        given = {variable["name"]: variable for variable in container["env"]}
        for variable in sorted(given.keys() - flat(defaults)):
            complain(f"{where}: {variable} is not a setting of this service")
        # What compose sets, a cluster has to set as well, or to leave to the default knowingly.
        for variable in sorted(compose[name]["environment"].keys() - given.keys()):
            if variable not in ("OTEL_EXPORTER_OTLP_ENDPOINT", "INDEX_DIR"):
                complain(f"{where}: {variable} is not set")
        for key in defaults:
            if key.endswith("_url") and key not in OPTIONAL and key.upper() not in given:
                complain(f"{where}: {key.upper()} is not set")
        if given["PORT"]["value"] != str(defaults["port"]):
            complain(f"{where}: PORT is not the service's own")
        for variable in given.values():
            source = variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name", f"ferrocart-{name}")
            if source != f"ferrocart-{name}":
                complain(f"{where}: {variable['name']} is of the Secret {source}")
            if variable["name"].endswith(("PASSWORD", "SECRET", "API_KEY", "DATABASE_URL", "REDIS_URL")):
                if "value" in variable:
                    complain(f"{where}: {variable['name']} is written out")
        security, own = container["securityContext"], pod["securityContext"]
        if not (security["readOnlyRootFilesystem"] and security["capabilities"]["drop"] == ["ALL"]
                and security["allowPrivilegeEscalation"] is False and own["runAsNonRoot"]
                and own["seccompProfile"]["type"] == "RuntimeDefault"):
            complain(f"{where}: it is not hardened")
        if pod.get("automountServiceAccountToken") is not False:
            complain(f"{where}: it is given a token of the cluster")
        # SIGTERM comes after the preStop sleep of 5 s; then requests, consumers and workers end.
        grace = defaults["shutdown_grace_ms"] / 1000 + 5
        if each["kind"] != "Job" and pod["terminationGracePeriodSeconds"] < grace + 10:
            complain(f"{where}: it is killed before it has ended its requests")


def reaches(policy: dict, port: int) -> set[str]:
    """The neighbours that a policy lets out to, by port."""
    rules = [rule for rule in policy["spec"]["egress"] if any(each.get("port") == port for each in rule["ports"])]
    peers = [peer for rule in rules for peer in rule.get("to", [{"anybody": True}])]
    return {peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name", "?") for peer in peers}


def check_network(environment: str, rendered: list[dict]) -> None:
    """A service reaches the neighbours whose addresses it has, and is reached by those that have its own."""
    platform = yaml.safe_load((CHART / "files/platform.yaml").read_text(encoding="utf-8"))
    policies = {each["metadata"]["name"]: each for each in rendered if each["kind"] == "NetworkPolicy"}
    if policies["ferrocart-deny"]["spec"].keys() != {"podSelector", "policyTypes"}:
        complain(f"{environment}: the policy that denies everything allows something")
    settings = {
        name: tomllib.loads((ROOT / f"services/{name}/config.default.toml").read_text(encoding="utf-8"))
        for name in platform
    }
    for name in platform:
        calls = {other for other in platform if f"{other}_url" in settings[name]}
        if calls != set(platform[name]["calls"]):
            complain(f"platform.yaml: {name} calls {sorted(calls)}")
        for key, fact in (("database_url", "database"), ("redis_url", "redis")):
            if (key in settings[name]) != bool(platform[name].get(fact)):
                complain(f"platform.yaml: {name}: {fact}")
        policy = policies[f"ferrocart-{name}"]
        reached = {other for other in platform if other in reaches(policy, platform[other]["port"])}
        if reached != calls:
            complain(f"{environment}: NetworkPolicy of {name} lets it reach {sorted(reached)}, it calls {sorted(calls)}")
        if any("to" not in rule for rule in policy["spec"]["egress"]):
            complain(f"{environment}: NetworkPolicy of {name} lets it reach everybody")
        callers = {other for other in platform if f"{name}_url" in settings[other]}
        let_in: set[str] = set()
        for rule in policy["spec"]["ingress"]:
            if "from" not in rule and name != "gateway":
                complain(f"{environment}: NetworkPolicy of {name} lets everybody in")
            for peer in rule.get("from", []):
                let_in.add(peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name", ""))
        if let_in - {""} != callers:
            complain(f"{environment}: NetworkPolicy of {name} lets in {sorted(let_in)}, it is called by {sorted(callers)}")


def check_groups() -> None:
    """KEDA asks for consumer groups by name: each must be one that the code consumes with."""
    platform = yaml.safe_load((CHART / "files/platform.yaml").read_text(encoding="utf-8"))
    for name, fact in platform.items():
        if "consumes" not in fact:
            continue
        code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / f"services/{name}/src").rglob("*.rs"))
        if f'"{fact["consumes"]["group"]}"' not in code:
            complain(f"platform.yaml: {name} has no consumer group {fact['consumes']['group']}")
        for topic in fact["consumes"]["topics"]:
            if f"Topic::{topic.split('-')[0].capitalize()}" not in code:
                complain(f"platform.yaml: {name} does not consume {topic}")


def references(node) -> set[tuple[str, str, str]]:
    """Every key of a Secret or a ConfigMap that a pod asks for."""
    found: set[tuple[str, str, str]] = set()
    if isinstance(node, list):
        return found.union(*(references(item) for item in node)) if node else found
    if not isinstance(node, dict):
        return found
    if "secretKeyRef" in node:
        found.add(("Secret", node["secretKeyRef"]["name"], node["secretKeyRef"]["key"]))
    if "secretName" in node and "items" in node:
        found |= {("Secret", node["secretName"], item["key"]) for item in node["items"]}
    return found.union(*(references(value) for value in node.values())) if node else found


def check_trial_secrets(rendered: list[dict]) -> None:
    """The script for trying out makes every key that the pods of the development environment ask for."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([str(ROOT / "deploy/helm/secrets.sh"), "ferrocart"], capture_output=True, text=True,
                              env={**os.environ, "FERROCART_COMPOSE_ROOT": folder}, check=False)
    if done.returncode != 0:
        complain(f"secrets.sh fails: {done.stderr}")
        return
    made = objects(done.stdout)
    keys = {(each["kind"], each["metadata"]["name"], key) for each in made for key in each["data"]}
    wanted = references(rendered) | {("ConfigMap", "ferrocart-internal-jwks", "internal-jwks.json")}
    for kind, name, key in sorted(wanted - keys):
        complain(f"secrets.sh does not make {kind} {name} {key}")
    for kind, name, key in sorted(keys - wanted):
        complain(f"secrets.sh makes {kind} {name} {key}, which nobody asks for")


def main() -> int:
    if "--write" in sys.argv:
        write()
    check_files()
    check_groups()
    for environment in ENVIRONMENTS:
        run(os.environ["HELM"], "lint", "--strict", "--quiet", "--kube-version", KUBERNETES, str(CHART),
            "--values", str(CHART / f"environments/{environment}.yaml"))
        rendered = check_overlay(environment)
        check_schema(environment, rendered)
        check_pods(environment, rendered)
        check_network(environment, rendered)
    check_trial_secrets(chart("development"))
    for problem in problems:
        print(f"deploy-check: {problem}", file=sys.stderr)
    if not problems:
        print("deploy-check: chart and k8s/ agree with each other, with the settings and with Kubernetes " + KUBERNETES)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
