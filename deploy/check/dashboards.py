#!/usr/bin/env python3
"""Asks a real Prometheus every query of the dashboards and every expression of the rules, of a running platform that has
sold something: dashboards.py gateway=127.0.0.1:8080 catalog=127.0.0.1:8081 …

Each must be understood and give something, with the labels that its legend names; what appears only after a fault is
listed here and must at least be exported by the code.
"""

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parent))
import check

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 60
AFTER_A_FAULT = {
    # Limits, outages and lost answers.
    "rate_limited_total", "upstream_ejections_total", "upstream_failures_total", "orders_shown_last_known_total", "kafka_dead_letters_total",
    "kafka_waits_total", "pg_tx_retries_total", "psp_breaker_opened_total", "psp_refunds_failed_total",
    "payment_outcomes_unknown_total", "payments_captured_of_cancelled_orders_total", "inventory_batch_failures_total",
    "inventory_overloaded_total", "inventory_waiters_gone_total", "inventory_drift_total",
    "webhook_deliveries_total", "inventory_drift_repaired_total", "inventory_admission_rebuilds_total",
    # Flash sales, and what takes time: reservations that expire, the reconciliation's hour.
    "inventory_admission_refused_total", "inventory_admission_ready", "inventory_drifted_counters",
    "inventory_expired_total", "inventory_reconcile_walk_seconds", "reconciliation_differences_open",
    "reconciliation_checked_total", "reconciliation_runs_total",
}

problems: list[str] = []


def complain(text: str) -> None:
    problems.append(text)


def queries() -> list[tuple[str, str, set[str]]]:
    """Where it stands, the query, the labels that it must have."""
    found = []
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                labels = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                query = target["expr"].replace("$__rate_interval", "30s")
                found.append((f"{path.stem}: {panel['title']}", query, labels))
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text(encoding="utf-8"))["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        name = rule.get("alert") or rule["record"]
        found.append((f"rules: {name}", re.sub(r"\[\d+m\]", "[30s]", rule["expr"]), set()))
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    def __init__(self, program: str, folder: str, targets: dict[str, str]):
        self.url = f"http://127.0.0.1:{free_port()}"
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ROOT / "deploy/prometheus/rules.yml")],
            "scrape_configs": [{
                "job_name": "ferrocart",
                "static_configs": [{"targets": [at], "labels": {"service": name}} for name, at in targets.items()],
            }],
        }
        path = Path(folder) / "prometheus.yml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        self.log = Path(folder) / "log"
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [program, f"--config.file={path}", f"--storage.tsdb.path={folder}/data",
                 "--enable-feature=exemplar-storage",
                 f"--web.listen-address={self.url.removeprefix('http://')}"],
                stdout=log, stderr=log,
            )

    def get(self, path: str, **parameters: str) -> dict:
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)

    def query(self, text: str) -> list[dict]:
        return self.get("/api/v1/query", query=text)["data"]["result"]

    def wait(self, count: int) -> None:
        """Until each target was read three times."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                seen = self.query("count(sum_over_time(up[1m]) >= 3)")
                if seen and int(seen[0]["value"][1]) == count:
                    return
            except OSError:
                pass
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"dashboards: Prometheus does not read the services:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)


def check_query(prometheus: Prometheus, there: set[str], query: tuple[str, str, set[str]]) -> None:
    where, text, labels = query
    for metric in check.metrics_of(text):
        base = re.sub(r"_(?:bucket|sum|count)$", "", metric)
        if metric in there or ":" in metric:
            continue
        if metric not in AFTER_A_FAULT and base not in AFTER_A_FAULT:
            complain(f"{where}: there is no {metric}")
        elif base not in check.exported_metrics() and metric not in check.exported_metrics():
            complain(f"{where}: nobody exports {metric}")
    try:
        result = prometheus.query(text)
    except urllib.error.HTTPError as error:
        complain(f"{where}: {json.load(error)['error']}")
        return
    may_be_empty = where.startswith("rules:") or "ALERTS" in text or any(
        metric in AFTER_A_FAULT or re.sub(r"_bucket$", "", metric) in AFTER_A_FAULT for metric in check.metrics_of(text)
    )
    if not result and not may_be_empty:
        complain(f"{where}: shows nothing: {text}")
    for series in result:
        if missing := labels - series["metric"].keys():
            complain(f"{where}: the legend asks for {sorted(missing)}, the series has {sorted(series['metric'])}")
            break


def check_exemplars(prometheus: Prometheus) -> None:
    """Of the slow requests of every service that answers some, one leads to its trace."""
    now = time.time()
    found = prometheus.get("/api/v1/query_exemplars", query="http_request_duration_seconds_bucket",
                           start=str(now - 600), end=str(now + 60))["data"]
    services = {each["seriesLabels"]["service"] for each in found
                if any(re.fullmatch("[0-9a-f]{32}", one["labels"]["trace_id"]) for one in each["exemplars"])}
    if missing := {"gateway", "catalog", "order", "payment"} - services:
        complain(f"no exemplars of {sorted(missing)}")


def main() -> int:
    targets = dict(argument.split("=", 1) for argument in sys.argv[2:])
    with tempfile.TemporaryDirectory() as folder:
        prometheus = Prometheus(sys.argv[1], folder, targets)
        try:
            prometheus.wait(len(targets))
            there = set(prometheus.get("/api/v1/label/__name__/values")["data"])
            asked = queries()
            for query in asked:
                check_query(prometheus, there, query)
            check_exemplars(prometheus)
            rules = prometheus.get("/api/v1/rules")["data"]["groups"]
            for rule in (rule for group in rules for rule in group["rules"]):
                if rule["health"] != "ok":
                    complain(f"rules: {rule['name']}: {rule['health']} {rule.get('lastError', '')}")
        finally:
            prometheus.stop()
    for problem in problems:
        print(f"dashboards: {problem}", file=sys.stderr)
    if not problems:
        print(f"dashboards: {len(asked)} queries asked of {len(there)} metrics of {len(targets)} services: all answered")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
