#!/usr/bin/env python3
"""Writes deploy/grafana/dashboards: one JSON file for each dashboard below. `--check` says whether they are up to date.

A panel is (title, unit, legend, query) or, with several lines, (title, unit, [(legend, query), …]). Gauges that every
replica reads off the same database are taken as their maximum, never summed.
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "dashboards"
RATE = "[$__rate_interval]"


def quantile(q: float, metric: str, by: str, match: str = "") -> str:
    return f"histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket{match}{RATE})))"


def rate(metric: str, by: str, match: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{match}{RATE}))"


HTTP = "http_request_duration_seconds"
DASHBOARDS: dict[str, tuple[str, list]] = {
    "shop": ("Shop overview", [
        ("Orders confirmed a second", "ops", "confirmed", 'sum(rate(saga_ends_total{kind="CHECKOUT", end="CONFIRMED"}' + RATE + "))"),
        ("How checkouts end", "ops", "{{end}}", rate("saga_ends_total", "end", '{kind="CHECKOUT"}')),
        ("Requests by service", "reqps", "{{service}}", rate("http_requests_total", "service")),
        ("5xx, share of the answers", "percentunit", "{{service}}",
         "sum by (service) (rate(http_requests_total{status=~\"5..\"}" + RATE + ")) / sum by (service) (rate(http_requests_total" + RATE
         + ")) or sum by (service) (rate(http_requests_total" + RATE + ")) * 0"),
        ("Gateway: p99 by route", "s", "{{method}} {{route}}", quantile(0.99, HTTP, "method, route", '{service="gateway"}')),
        ("Gateway: p50 and p99", "s", [
            ("p50", quantile(0.5, HTTP, "service", '{service="gateway"}')),
            ("p99", quantile(0.99, HTTP, "service", '{service="gateway"}')),
        ]),
        ("Products: who answered", "ops", "{{answered_by}}", rate("catalog_product_reads_total", "answered_by")),
        ("Search: cache", "ops", "{{result}}", rate("search_cache_total", "result")),
        ("Logins", "ops", "{{result}}", rate("logins_total", "result")),
        ("Turned away by a limit", "ops", "{{class}}", rate("rate_limited_total", "class")),
        ("Services as the gateway sees them", "bool", "{{exported_service}}", "min by (exported_service) (upstream_ready)"),
        ("Replicas taken out by the gateway", "ops", "{{exported_service}}", rate("upstream_ejections_total", "exported_service")),
        ("Calls of the gateway that got no answer", "ops", "{{exported_service}}", rate("upstream_failures_total", "exported_service")),
        ("Processes that answer Prometheus", "short", "{{service}}", 'sum by (service) (up{job="ferrocart"})'),
        ("Alerts that fire", "short", "{{alertname}}", 'count by (alertname) (ALERTS{alertstate="firing"})'),
    ]),
    "flash-sale": ("Flash sale", [
        ("Reservations by outcome", "ops", "{{outcome}}", rate("inventory_reserve_total", "outcome")),
        ("Granted, share of those that asked", "percentunit", "granted",
         'sum(rate(inventory_reserve_total{outcome="granted"}' + RATE + ")) / sum(rate(inventory_reserve_total" + RATE + "))"),
        ("Turned away by the counters in Redis", "ops", "refused", "sum(rate(inventory_admission_refused_total" + RATE + "))"),
        ("Counters in Redis: there, and in use", "short", [
            ("SKUs with a counter", "max(inventory_admission_skus)"), ("in use", "max(inventory_admission_ready)"),
        ]),
        ("Requests in a batch", "short", [
            ("p50", quantile(0.5, "inventory_batch_size", "kind", '{kind="reserve"}')),
            ("p99", quantile(0.99, "inventory_batch_size", "kind", '{kind="reserve"}')),
        ]),
        ("A batch takes", "s", "{{kind}} {{path}} p99", quantile(0.99, "inventory_batch_duration_seconds", "kind, path")),
        ("Turned away because lanes are full", "ops", "503", "sum(rate(inventory_overloaded_total" + RATE + "))"),
        ("Buyers that hung up before their batch", "ops", "gone", "sum(rate(inventory_waiters_gone_total" + RATE + "))"),
        ("Reserve over HTTP: p99", "s", "{{method}} {{route}}",
         quantile(0.99, HTTP, "method, route", '{service="inventory", method="POST"}')),
        ("Streams that wait (SSE)", "short", "{{service}}", "sum by (service) (sse_streams)"),
    ]),
    "inventory": ("Inventory", [
        ("SKUs whose records disagree", "short", "SKUs", "max(inventory_drifted_skus)"),
        ("Counters that disagree", "short", "counters", "max(inventory_drifted_counters)"),
        ("Drift found", "ops", "{{counter}}", rate("inventory_drift_total", "counter")),
        ("Drift repaired", "ops", "repaired", "sum(rate(inventory_drift_repaired_total" + RATE + "))"),
        ("Reservations that moved on", "ops", "{{outcome}}", rate("inventory_moves_total", "outcome")),
        ("Expired", "ops", "expired", "sum(rate(inventory_expired_total" + RATE + "))"),
        ("Batches that failed", "ops", "{{kind}}", rate("inventory_batch_failures_total", "kind")),
        ("Counters rebuilt", "ops", "{{reason}}", rate("inventory_admission_rebuilds_total", "reason")),
        ("Reservations read: from the cache or not", "ops", "{{result}}", rate("inventory_reservation_cache_total", "result")),
        ("The reconciler's way through all SKUs takes", "s", "p50", quantile(0.5, "inventory_reconcile_walk_seconds", "service")),
        ("PostgreSQL: transactions", "ops", "{{tx}} {{result}}", rate("pg_tx_total", "tx, result", '{service="inventory"}')),
        ("Redis: calls of all services", "ops", "{{service}} {{result}}", rate("redis_calls_total", "service, result")),
    ]),
    "checkout": ("Checkout saga", [
        ("Checkouts under way", "short", "unfinished", "max(sagas_unfinished)"),
        ("Checkouts that do not get on", "short", "stuck", "max(sagas_stuck)"),
        ("How sagas end", "ops", "{{kind}} {{end}}", rate("saga_ends_total", "kind, end")),
        ("Steps by outcome", "ops", "{{step}} {{outcome}}", rate("saga_steps_total", "step, outcome")),
        ("Checkout at the gateway", "s", [
            ("p50", quantile(0.5, HTTP, "service", '{service="gateway", route=~".*checkout.*"}')),
            ("p95", quantile(0.95, HTTP, "service", '{service="gateway", route=~".*checkout.*"}')),
            ("p99", quantile(0.99, HTTP, "service", '{service="gateway", route=~".*checkout.*"}')),
        ]),
        ("Checkouts that share a transaction", "short", "{{batch}} p50", quantile(0.5, "pg_batch_size", "batch", '{service="order"}')),
        ("PostgreSQL: a transaction takes (p99)", "s", "{{tx}}", quantile(0.99, "pg_tx_duration_seconds", "tx", '{service="order"}')),
        ("PostgreSQL: tried again", "ops", "{{tx}}", rate("pg_tx_retries_total", "tx")),
        ("States kept for when PostgreSQL is away", "ops", "{{result}}", rate("order_snapshots_total", "result")),
        ("Orders shown as last known", "ops", "shown", "sum(rate(orders_shown_last_known_total" + RATE + "))"),
        ("Orders in no month's partition", "short", "orders", "max(orders_without_month)"),
    ]),
    "kafka": ("Kafka", [
        ("Events that wait to be published", "short", "{{service}}", "max by (service) (outbox_backlog)"),
        ("The oldest event has waited", "s", "{{service}}", "max by (service) (outbox_oldest_seconds)"),
        ("Outbox tables", "bytes", "{{service}}", "max by (service) (outbox_table_bytes)"),
        ("Published", "ops", "{{service}}", rate("outbox_published_total", "service")),
        ("Events that a group is behind", "short", "{{group}} {{topic}}", "sum by (group, topic) (kafka_consumer_lag)"),
        ("Consumed", "ops", "{{group}}", rate("kafka_events_total", "group")),
        ("Handling takes (p99)", "s", "{{group}}", quantile(0.99, "kafka_handle_duration_seconds", "group")),
        ("Dead letters", "ops", "{{topic}} {{group}}", rate("kafka_dead_letters_total", "topic, group")),
        ("Waits for a dependency", "ops", "{{group}}", rate("kafka_waits_total", "group")),
        ("Search: from the commit to the index (p99)", "s", "{{topic}} {{phase}}", quantile(0.99, "search_lag_seconds", "topic, phase")),
        ("Search: events behind", "short", "behind", "max(search_events_behind)"),
        ("E-mails: waiting", "short", "waiting", "max(notifications_backlog)"),
        ("E-mails: the oldest has waited", "s", "oldest", "max(notifications_oldest_pending_age_seconds)"),
        ("E-mails by outcome", "ops", "{{kind}} {{status}}", rate("notifications_total", "kind, status")),
        ("Webhooks of merchants: waiting", "short", "waiting", "max(webhook_deliveries_pending)"),
        ("Webhooks of merchants: the oldest is due for", "s", "oldest", "max(webhook_oldest_due_age_seconds)"),
        ("Webhooks of merchants by result", "ops", "{{result}}", rate("webhook_deliveries_total", "result")),
    ]),
    "payments": ("Payments", [
        ("Payments by status", "ops", "{{status}}", rate("payments_total", "status")),
        ("Calls of the provider", "ops", "{{operation}} {{outcome}}", rate("psp_requests_total", "operation, outcome")),
        ("The provider takes (p99)", "s", "{{operation}}", quantile(0.99, "psp_request_duration_seconds", "operation")),
        ("Breaker open", "bool", "open", "max(psp_breaker_open)"),
        ("Breaker opened", "ops", "opened", "sum(rate(psp_breaker_opened_total" + RATE + "))"),
        ("Operations whose outcome is not known", "short", "open", "max(payment_operations_open)"),
        ("… the oldest", "s", "oldest", "max(payment_operations_oldest_seconds)"),
        ("Outcomes that had to be asked for", "ops", "{{kind}}", rate("payment_outcomes_unknown_total", "kind")),
        ("Webhooks", "ops", "{{result}}", rate("psp_webhooks_total", "result")),
        ("Reconciliation: differences open", "short", "{{kind}}", "max by (kind) (reconciliation_differences_open)"),
        ("Reconciliation: compared", "ops", "compared", "sum(rate(reconciliation_checked_total" + RATE + "))"),
        ("Reconciliation: runs", "ops", "runs", "sum(rate(reconciliation_runs_total" + RATE + "))"),
        ("Captured although CANCELLED", "short", "payments", "sum(payments_captured_of_cancelled_orders_total)"),
        ("Refunds that failed", "ops", "refunds", "sum(rate(psp_refunds_failed_total" + RATE + "))"),
    ]),
}


def panel(number: int, title: str, unit: str, *lines) -> dict:
    targets = lines[0] if len(lines) == 1 else [lines]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "custom": {"lineWidth": 1, "fillOpacity": 10, "showPoints": "auto"}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + i), "expr": query, "legendFormat": legend,
             "datasource": {"type": "prometheus", "uid": "prometheus"},
             # A dot beside the line is a request; it leads to its trace.
             **({"exemplar": True} if f"{HTTP}_bucket" in query else {})}
            for i, (legend, query) in enumerate(targets)
        ],
    }


def dashboard(uid: str, title: str, panels: list) -> dict:
    return {
        "uid": f"ferrocart-{uid}",
        "title": f"Ferrocart: {title}",
        "tags": ["ferrocart"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": []},
        "annotations": {"list": [{
            "name": "Alerts", "enable": True, "iconColor": "red", "datasource": {"type": "prometheus", "uid": "prometheus"},
            "expr": 'ALERTS{alertstate="firing"}', "titleFormat": "{{alertname}}",
        }]},
        "links": [{"type": "dashboards", "tags": ["ferrocart"], "asDropdown": True, "title": "Ferrocart", "includeVars": False}],
        "panels": [panel(number, *each) for number, each in enumerate(panels)],
    }


def main() -> int:
    wanted = {
        FOLDER / f"{uid}.json": json.dumps(dashboard(uid, *each), indent=1, ensure_ascii=False) + "\n"
        for uid, each in DASHBOARDS.items()
    }
    if "--check" in sys.argv:
        there = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
        if there != wanted:
            print("deploy-check: deploy/grafana/dashboards is not what deploy/grafana/make.py writes: run it", file=sys.stderr)
            return 1
        return 0
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
