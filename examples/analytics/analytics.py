#!/usr/bin/env python3
"""Revenue by minute, conversion and the sell-through of SKUs, from Ferrocart's topics alone.

Knows nothing of the platform but its contract: `proto/` and CloudEvents in Kafka's binary mode. Events come at least
once, so each is remembered by its id; they come in order for each key, so the newest sequence of an order is its state.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import duckdb
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

sys.path.insert(0, str(Path(__file__).resolve().parent / "generated"))
from ferrocart.events.v1 import inventory_events_pb2, order_events_pb2  # noqa: E402

TOPICS = {"order-events": order_events_pb2, "inventory-events": inventory_events_pb2}
SILENCE_MAX_SECONDS = 30
CONFIRMED = "ferrocart.order.v1.OrderConfirmed"
# Confirmed once, whatever became of it later.
SOLD = f"SELECT order_id, happened, total_minor, currency FROM order_event WHERE type = '{CONFIRMED}'"

SCHEMA = """
CREATE TABLE IF NOT EXISTS order_event (
    id VARCHAR PRIMARY KEY, type VARCHAR, order_id VARCHAR, sequence BIGINT, happened TIMESTAMP,
    total_minor BIGINT, currency VARCHAR);
CREATE TABLE IF NOT EXISTS order_line (
    order_id VARCHAR, sku_id VARCHAR, quantity BIGINT, unit_minor BIGINT);
CREATE TABLE IF NOT EXISTS stock (
    id VARCHAR PRIMARY KEY, sku_id VARCHAR, version BIGINT, happened TIMESTAMP,
    on_hand BIGINT, reserved BIGINT, available BIGINT, reason VARCHAR);
CREATE TABLE IF NOT EXISTS place (
    topic VARCHAR, partition INTEGER, next BIGINT, PRIMARY KEY (topic, partition));
"""


def store(db, module, message) -> None:
    """One event. Types that we do not know are passed over: the contract grows."""
    headers = {name: value.decode() for name, value in message.headers() or []}
    kind = headers.get("ce_type", "")
    cls = getattr(module, kind.rsplit(".", 1)[-1], None)
    if cls is None or message.value() is None:
        return
    event = cls.FromString(message.value())
    ident, at = headers["ce_id"], headers["ce_time"].rstrip("Z")
    if db.execute("SELECT 1 FROM order_event WHERE id = $1 UNION ALL SELECT 1 FROM stock WHERE id = $1", [ident]).fetchone():
        return
    if "order" in cls.DESCRIPTOR.fields_by_name:
        order = event.order
        db.execute(
            "INSERT INTO order_event VALUES (?, ?, ?, ?, ?, ?, ?)",
            [ident, kind, order.order_id, order.sequence, at, order.total.amount_minor, order.total.currency],
        )
        if kind == CONFIRMED:
            for line in order.lines:
                db.execute(
                    "INSERT INTO order_line VALUES (?, ?, ?, ?)",
                    [order.order_id, line.sku_id, line.quantity, line.unit_price.amount_minor],
                )
    elif cls is inventory_events_pb2.StockUpdated:
        db.execute(
            "INSERT INTO stock VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [ident, event.sku_id, event.version, at, event.on_hand, event.reserved, event.available, event.reason],
        )


def read(db, brokers: str, prefix: str) -> int:
    """From where the last run ended up to where the topics end now. Offsets are kept with what was made of the
    events, in one transaction, so that a run which is killed loses nothing and counts nothing twice."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "example-analytics", "enable.auto.commit": False})
    ends, starts = {}, []
    for topic in TOPICS:
        metadata = consumer.list_topics(prefix + topic, timeout=20).topics[prefix + topic]
        if metadata.error:
            raise KafkaException(metadata.error)
        for partition in metadata.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(prefix + topic, partition), timeout=20)
            row = db.execute("SELECT next FROM place WHERE topic = ? AND partition = ?", [topic, partition]).fetchone()
            begin = max(row[0], low) if row else low
            if begin < high:
                ends[topic, partition] = high
                starts.append(TopicPartition(prefix + topic, partition, begin if begin else OFFSET_BEGINNING))
    consumer.assign(starts)
    count, heard = 0, time.monotonic()
    while ends:
        messages = consumer.consume(1000, timeout=0.5)
        if not messages:
            if time.monotonic() - heard > SILENCE_MAX_SECONDS:
                raise TimeoutError(f"no event within {SILENCE_MAX_SECONDS} s, though there are more")
            continue
        heard = time.monotonic()
        db.begin()
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            topic = message.topic().removeprefix(prefix)
            store(db, TOPICS[topic], message)
            place = (topic, message.partition())
            db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?)", [*place, message.offset() + 1])
            if message.offset() + 1 >= ends.get(place, 0):
                ends.pop(place, None)
            count += 1
        db.commit()
    consumer.close()
    return count


def report(db) -> dict:
    rows = lambda query: [dict(zip([d[0] for d in db.description], row)) for row in db.execute(query).fetchall()]  # noqa: E731
    return {
        "revenue_by_minute": rows(
            f"SELECT strftime(date_trunc('minute', happened), '%Y-%m-%dT%H:%MZ') AS minute, currency, count(*) AS orders, "
            f"CAST(sum(total_minor) AS BIGINT) AS revenue_minor FROM ({SOLD}) GROUP BY ALL ORDER BY ALL"
        ),
        "conversion": rows(
            f"SELECT count(DISTINCT order_id) AS placed, count(DISTINCT order_id) FILTER (type = '{CONFIRMED}') AS confirmed, "
            "count(DISTINCT order_id) FILTER (type = 'ferrocart.order.v1.OrderCancelled') AS cancelled FROM order_event"
        )[0],
        # Of the SKUs that were taken on: how much of what there was is sold, and how long the last unit took.
        "sell_through": rows(
            "WITH sold AS (SELECT sku_id, CAST(sum(quantity) AS BIGINT) AS units, min(happened) AS opened, max(happened) AS closed "
            f"FROM order_line JOIN ({SOLD}) USING (order_id) GROUP BY sku_id), "
            "stocked AS (SELECT sku_id, max(on_hand) AS units FROM stock GROUP BY sku_id) "
            "SELECT sku_id, stocked.units AS stocked, sold.units AS sold, "
            "round(100.0 * sold.units / stocked.units, 1) AS percent, "
            "round(date_diff('millisecond', opened, closed) / 1000.0, 3) AS seconds_to_last_sale "
            "FROM sold JOIN stocked USING (sku_id) ORDER BY sold DESC, sku_id LIMIT 20"
        ),
    }


def chart(db, found: dict, sku: str | None, file: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    conversion = found["conversion"]
    figure.suptitle(f"{conversion['placed']} orders placed, {conversion['confirmed']} confirmed, {conversion['cancelled']} cancelled")
    by_minute = found["revenue_by_minute"]
    left.bar([row["minute"][11:16] for row in by_minute], [row["revenue_minor"] / 100 for row in by_minute], color="#2f6f9f")
    left.set(title="Revenue by minute", xlabel="minute (UTC)", ylabel=by_minute[0]["currency"] if by_minute else "")
    left.tick_params(axis="x", rotation=45)
    sku = sku or (found["sell_through"][0]["sku_id"] if found["sell_through"] else None)
    if sku:
        points = db.execute(
            f"SELECT date_diff('millisecond', min(happened) OVER (), happened) / 1000.0, sum(quantity) OVER (ORDER BY happened) "
            f"FROM order_line JOIN ({SOLD}) USING (order_id) WHERE sku_id = ? ORDER BY happened",
            [sku],
        ).fetchall()
        stocked = db.execute("SELECT max(on_hand) FROM stock WHERE sku_id = ?", [sku]).fetchone()[0]
        right.step([0, *(point[0] for point in points)], [0, *(point[1] for point in points)], where="post", color="#b5522b", label="sold")
        if stocked:
            right.axhline(stocked, color="#888", linestyle="--", label="units there were")
        right.set(title=f"Sell-through of {sku}", xlabel="seconds since the first sale", ylabel="units", ylim=(0, None))
        right.legend(loc="lower right")
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brokers", default="127.0.0.1:9094")
    parser.add_argument("--topic-prefix", default="")
    parser.add_argument("--database", default="analytics.duckdb", help="kept between runs: only what is new is read")
    parser.add_argument("--chart", help="where the chart goes, as PNG")
    parser.add_argument("--sku", help="whose sell-through is drawn; the best sold one by default")
    args = parser.parse_args()
    db = duckdb.connect(args.database)
    db.execute(SCHEMA)
    count = read(db, args.brokers, args.topic_prefix)
    found = report(db)
    if args.chart:
        chart(db, found, args.sku, args.chart)
    print(json.dumps({"events_read": count, **found}, indent=2))


if __name__ == "__main__":
    main()
