#!/usr/bin/env python3
"""Publishes a small flash sale as the platform would, one event twice, and looks at what the analytics make of it."""

import json
import subprocess
import sys
import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "generated"))
from ferrocart.events.v1 import inventory_events_pb2 as inventory  # noqa: E402
from ferrocart.events.v1 import order_events_pb2 as orders  # noqa: E402

BEGIN = datetime(2026, 11, 26, 8, 0, 30, tzinfo=UTC)
SKU = "019a2f3e-7c00-7000-8000-0000000000b1"


def main() -> None:
    brokers = sys.argv[1]
    prefix = f"t{uuid.uuid4().hex}."
    admin = AdminClient({"bootstrap.servers": brokers})
    topics = [NewTopic(prefix + name, num_partitions=2) for name in ("order-events", "inventory-events")]
    for created in admin.create_topics(topics).values():
        created.result(20)
    producer = Producer({"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": True})

    def publish(area: str, event, key: str, sequence: int, at: datetime, times: int = 1) -> None:
        headers = {
            "ce_specversion": "1.0", "ce_id": str(uuid.uuid4()), "ce_type": f"ferrocart.{area}.v1.{event.DESCRIPTOR.name}",
            "ce_source": f"/ferrocart/{area}", "ce_subject": key, "ce_sequence": str(sequence),
            "ce_time": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "content-type": "application/protobuf",
        }  # fmt: skip
        for _ in range(times):
            producer.produce(f"{prefix}{area}-events", event.SerializeToString(), key, headers=list(headers.items()))

    publish("inventory", inventory.StockUpdated(sku_id=SKU, on_hand=10, available=10, version=1, reason="INITIALIZED"), SKU, 1, BEGIN)
    for number in range(12):
        order_id, at = str(uuid.uuid4()), BEGIN + timedelta(seconds=5 * number)
        order = orders.Order(order_id=order_id, sequence=1)
        order.total.amount_minor, order.total.currency = 4_200, "USD"
        line = order.lines.add(sku_id=SKU, quantity=1)
        line.unit_price.amount_minor, line.unit_price.currency = 4_200, "USD"
        publish("order", orders.OrderPlaced(order=order), order_id, 1, at)
        order.sequence = 2
        # Ten units for twelve buyers; the relay published the third sale twice.
        if number < 10:
            publish("order", orders.OrderConfirmed(order=order), order_id, 2, at, times=2 if number == 2 else 1)
        else:
            publish("order", orders.OrderCancelled(order=order, reason="INSUFFICIENT_STOCK"), order_id, 2, at)
    assert producer.flush(20) == 0

    with tempfile.TemporaryDirectory() as folder:
        chart = Path(sys.argv[2] if len(sys.argv) > 2 else f"{folder}/chart.png")
        command = [sys.executable, str(HERE / "analytics.py"), "--brokers", brokers, "--topic-prefix", prefix,
                   "--database", f"{folder}/a.duckdb", "--chart", str(chart)]  # fmt: skip
        first = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        again = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        assert chart.read_bytes().startswith(b"\x89PNG"), "no chart"
    assert first["events_read"] == 26, first
    assert again["events_read"] == 0, "a second run read events again"
    assert first["conversion"] == {"placed": 12, "confirmed": 10, "cancelled": 2}, first
    assert first["revenue_by_minute"] == [
        {"minute": "2026-11-26T08:00Z", "currency": "USD", "orders": 6, "revenue_minor": 25_200},
        {"minute": "2026-11-26T08:01Z", "currency": "USD", "orders": 4, "revenue_minor": 16_800},
    ], first
    assert first["sell_through"] == [
        {"sku_id": SKU, "stocked": 10, "sold": 10, "percent": 100.0, "seconds_to_last_sale": 45.0}
    ], first
    assert {**first, "events_read": 0} == again, "a second run says otherwise"
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
