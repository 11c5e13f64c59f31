use std::collections::HashMap;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{
    Currency, Email, Money, OrderId, PaymentId, ProductId, Quantity, ReservationId, SkuId, Timestamp, UserId,
};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{corrupt, expect_one};
use crate::domain::{
    CancelReason, CartId, HistoryEntry, Line, Order, PaymentFact, PaymentStatus, Shipment, ShippingAddress,
    State, Status,
};

macro_rules! select_orders {
    ($rest:literal) => {
        concat!(
            "SELECT order_id, customer_id, guest, email, cart_id, status, total_minor, currency, shipping_address,
                    reservation_id, payment_id, payment_status, carrier, tracking_number, cancel_reason, sequence,
                    version, created_at, updated_at FROM orders ",
            $rest
        )
    };
}

/// A new order, which is PLACED, with its lines and the beginning of its history. `false` when there is one of
/// that id already.
pub(crate) async fn insert(conn: &mut PgConnection, order: &Order) -> Result<bool, StoreError> {
    const OP: &str = "orders.insert";
    let done = sqlx::query(
        "INSERT INTO orders (order_id, customer_id, guest, email, cart_id, status, total_minor, currency,
                             shipping_address, sequence, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12) ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(order.id.as_uuid())
    .bind(order.customer_id.as_uuid())
    .bind(order.guest)
    .bind(order.email.as_str())
    .bind(order.cart_id.map(|cart| cart.to_string()))
    .bind(order.status().as_str())
    .bind(order.total.amount_minor)
    .bind(order.total.currency.as_str())
    .bind(Json(&order.address))
    .bind(order.sequence())
    .bind(order.version)
    .bind(order.created_at)
    .execute(&mut *conn)
    .await
    .op(OP)?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    insert_lines(conn, order).await?;
    append_history(conn, order).await?;
    Ok(true)
}

async fn insert_lines(conn: &mut PgConnection, order: &Order) -> Result<(), StoreError> {
    const OP: &str = "order_lines.insert";
    let numbers: Vec<i32> = (1..).take(order.lines.len()).collect();
    let skus: Vec<Uuid> = order.lines.iter().map(|line| line.sku_id.as_uuid()).collect();
    let products: Vec<Uuid> = order.lines.iter().map(|line| line.product_id.as_uuid()).collect();
    let codes: Vec<&str> = order.lines.iter().map(|line| line.sku.as_str()).collect();
    let titles: Vec<&str> = order.lines.iter().map(|line| line.title.as_str()).collect();
    let quantities: Vec<i32> = order.lines.iter().map(|line| line.quantity.as_i32()).collect();
    let prices: Vec<i64> = order
        .lines
        .iter()
        .map(|line| line.unit_price.amount_minor)
        .collect();
    let done = sqlx::query(
        "INSERT INTO order_lines (order_id, line_no, sku_id, product_id, sku, title, quantity, unit_price_minor)
         SELECT $1, * FROM UNNEST($2::int[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::int[], $8::bigint[])",
    )
    .bind(order.id.as_uuid())
    .bind(numbers)
    .bind(skus)
    .bind(products)
    .bind(codes)
    .bind(titles)
    .bind(quantities)
    .bind(prices)
    .execute(conn)
    .await
    .op(OP)?;
    let expected = u64::try_from(order.lines.len()).unwrap_or(u64::MAX);
    if done.rows_affected() == expected {
        return Ok(());
    }
    Err(StoreError::RowCount {
        operation: OP,
        expected,
        actual: done.rows_affected(),
    })
}

/// Writes the newest entry of the order's history.
async fn append_history(conn: &mut PgConnection, order: &Order) -> Result<(), StoreError> {
    const OP: &str = "order_history.append";
    let Some(entry) = order.history.last() else {
        return Err(corrupt(
            "order_history",
            "sequence",
            order.id,
            "an order without a history",
        ));
    };
    let done = sqlx::query(
        "INSERT INTO order_history (order_id, sequence, status, at, reason) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(order.id.as_uuid())
    .bind(order.sequence())
    .bind(entry.status.as_str())
    .bind(entry.at)
    .bind(entry.reason.as_deref())
    .execute(conn)
    .await
    .op(OP)?;
    expect_one(OP, done.rows_affected())
}

/// Writes what `after` changes against `before`, if the order still stands as `before` says. Answers the
/// order's new version.
pub(crate) async fn update(
    conn: &mut PgConnection,
    before: &Order,
    after: &Order,
) -> Result<i64, StoreError> {
    const OP: &str = "orders.update";
    let payment = after
        .payment
        .map(|payment| (payment.payment_id.as_uuid(), payment.status));
    let shipment = after.shipment();
    // Payment's news come from payment-events as well: only newer ones are taken.
    let version: Option<i64> = sqlx::query_scalar(
        "UPDATE orders SET
             status = $4, sequence = $5, updated_at = $6, version = version + 1,
             reservation_id = $7, carrier = $8, tracking_number = $9, cancel_reason = $10,
             payment_id = CASE WHEN $13::smallint >= payment_rank THEN COALESCE($11, payment_id) ELSE payment_id END,
             payment_status = CASE WHEN $13 >= payment_rank THEN COALESCE($12, payment_status) ELSE payment_status END,
             payment_rank = GREATEST(payment_rank, $13)
         WHERE order_id = $1 AND status = $2 AND sequence = $3 RETURNING version",
    )
    .bind(before.id.as_uuid())
    .bind(before.status().as_str())
    .bind(before.sequence())
    .bind(after.status().as_str())
    .bind(after.sequence())
    .bind(after.updated_at)
    .bind(after.reservation_id().map(|id| id.as_uuid()))
    .bind(shipment.and_then(|shipment| shipment.carrier.as_deref()))
    .bind(shipment.and_then(|shipment| shipment.tracking_number.as_deref()))
    .bind(after.cancel_reason().map(CancelReason::as_str))
    .bind(payment.map(|(id, _)| id))
    .bind(payment.map(|(_, status)| status.as_str()))
    .bind(payment.map_or(0, |(_, status)| status.rank()))
    .fetch_optional(&mut *conn)
    .await
    .op(OP)?;
    let Some(version) = version else {
        return Err(StoreError::RowCount {
            operation: OP,
            expected: 1,
            actual: 0,
        });
    };
    if after.sequence() > before.sequence() {
        append_history(conn, after).await?;
    }
    Ok(version)
}

/// Takes note of what payment-events say. `false` when it is old news, or of no order here.
pub(crate) async fn note_payment(
    conn: &mut PgConnection,
    id: OrderId,
    fact: PaymentFact,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE orders SET payment_id = $2, payment_status = $3, payment_rank = $4, updated_at = $5, version = version + 1
         WHERE order_id = $1 AND payment_rank < $4",
    )
    .bind(id.as_uuid())
    .bind(fact.payment_id.as_uuid())
    .bind(fact.status.as_str())
    .bind(fact.status.rank())
    .bind(now)
    .execute(conn)
    .await
    .op("orders.note_payment")?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn read(conn: &mut PgConnection, id: OrderId) -> Result<Option<Order>, StoreError> {
    let row = sqlx::query(select_orders!("WHERE order_id = $1"))
        .bind(id.as_uuid())
        .fetch_optional(&mut *conn)
        .await
        .op("orders.read")?;
    one(conn, row).await
}

pub(crate) async fn exists(conn: &mut PgConnection, id: OrderId) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM orders WHERE order_id = $1)")
        .bind(id.as_uuid())
        .fetch_one(conn)
        .await
        .op("orders.exists")
}

/// Locks the order until the transaction ends. Where a saga's row is needed too, it is locked first.
pub(crate) async fn lock(conn: &mut PgConnection, id: OrderId) -> Result<Option<Order>, StoreError> {
    let row = sqlx::query(select_orders!("WHERE order_id = $1 FOR UPDATE"))
        .bind(id.as_uuid())
        .fetch_optional(&mut *conn)
        .await
        .op("orders.lock")?;
    one(conn, row).await
}

/// A customer's orders, the newest first.
pub(crate) async fn of_customer(
    conn: &mut PgConnection,
    customer: UserId,
    status: Option<Status>,
    before: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Order>, StoreError> {
    let rows = sqlx::query(select_orders!(
        "WHERE customer_id = $1 AND ($2::text IS NULL OR status = $2) AND ($3::uuid IS NULL OR order_id < $3)
         ORDER BY order_id DESC LIMIT $4"
    ))
    .bind(customer.as_uuid())
    .bind(status.map(Status::as_str))
    .bind(before.map(|id| id.as_uuid()))
    .bind(limit)
    .fetch_all(&mut *conn)
    .await
    .op("orders.of_customer")?;
    with_parts(conn, rows).await
}

/// What became of the newest order that was made of the cart.
pub(crate) async fn newest_status_of_cart(
    conn: &mut PgConnection,
    customer: UserId,
    cart: CartId,
) -> Result<Option<Status>, StoreError> {
    const OP: &str = "orders.newest_status_of_cart";
    let row = sqlx::query(
        "SELECT order_id, status FROM orders WHERE customer_id = $1 AND cart_id = $2 ORDER BY order_id DESC LIMIT 1",
    )
    .bind(customer.as_uuid())
    .bind(cart.to_string())
    .fetch_optional(conn)
    .await
    .op(OP)?;
    row.map(|row| {
        let id: Uuid = row.try_get("order_id").op(OP)?;
        parse_status(id, row.try_get("status").op(OP)?)
    })
    .transpose()
}

async fn one(conn: &mut PgConnection, row: Option<PgRow>) -> Result<Option<Order>, StoreError> {
    Ok(with_parts(conn, row.into_iter().collect()).await?.pop())
}

/// Adds lines and history, with two queries however many orders there are.
async fn with_parts(conn: &mut PgConnection, rows: Vec<PgRow>) -> Result<Vec<Order>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = rows
        .iter()
        .map(|row| row.try_get("order_id"))
        .collect::<Result<_, _>>()
        .op("orders.read")?;
    let mut lines = lines_of(conn, &ids).await?;
    let mut history = history_of(conn, &ids).await?;
    rows.iter()
        .zip(ids)
        .map(|(row, id)| {
            let lines = lines.remove(&id).unwrap_or_default();
            let mut history = history.remove(&id).unwrap_or_default();
            // The history was read after the order, which may have moved on in between: what was written
            // after the row that was read is left out. Entries are only ever appended.
            let sequence: i64 = row.try_get("sequence").op("orders.read")?;
            history.truncate(usize::try_from(sequence).unwrap_or(usize::MAX));
            order(row, lines, history)
        })
        .collect()
}

/// Lines by order, still without their currency, which is the order's.
type RawLine = (Line, i64);

async fn lines_of(conn: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<RawLine>>, StoreError> {
    const OP: &str = "order_lines.read";
    let rows = sqlx::query(
        "SELECT order_id, sku_id, product_id, sku, title, quantity, unit_price_minor
         FROM order_lines WHERE order_id = ANY($1) ORDER BY order_id, line_no",
    )
    .bind(ids)
    .fetch_all(conn)
    .await
    .op(OP)?;
    let mut lines: HashMap<Uuid, Vec<RawLine>> = HashMap::new();
    for row in rows {
        let id: Uuid = row.try_get("order_id").op(OP)?;
        let quantity: i32 = row.try_get("quantity").op(OP)?;
        let price: i64 = row.try_get("unit_price_minor").op(OP)?;
        let line = Line {
            sku_id: SkuId(row.try_get("sku_id").op(OP)?),
            product_id: ProductId(row.try_get("product_id").op(OP)?),
            sku: row.try_get("sku").op(OP)?,
            title: row.try_get("title").op(OP)?,
            quantity: Quantity::new(i64::from(quantity))
                .map_err(|error| corrupt("order_lines", "quantity", id, error))?,
            unit_price: Money::new(price, Currency::USD),
        };
        lines.entry(id).or_default().push((line, price));
    }
    Ok(lines)
}

async fn history_of(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<HistoryEntry>>, StoreError> {
    const OP: &str = "order_history.read";
    let rows = sqlx::query(
        "SELECT order_id, status, at, reason FROM order_history WHERE order_id = ANY($1) ORDER BY order_id, sequence",
    )
    .bind(ids)
    .fetch_all(conn)
    .await
    .op(OP)?;
    let mut history: HashMap<Uuid, Vec<HistoryEntry>> = HashMap::new();
    for row in rows {
        let id: Uuid = row.try_get("order_id").op(OP)?;
        let entry = HistoryEntry {
            status: parse_status(id, row.try_get("status").op(OP)?)?,
            at: row.try_get("at").op(OP)?,
            reason: row.try_get("reason").op(OP)?,
        };
        history.entry(id).or_default().push(entry);
    }
    Ok(history)
}

fn order(row: &PgRow, lines: Vec<RawLine>, history: Vec<HistoryEntry>) -> Result<Order, StoreError> {
    const OP: &str = "orders.read";
    let id: Uuid = row.try_get("order_id").op(OP)?;
    let bad = |column, reason: &str| corrupt("orders", column, id, reason);
    let currency: Currency = row
        .try_get::<&str, _>("currency")
        .op(OP)?
        .parse()
        .map_err(|error| corrupt("orders", "currency", id, error))?;
    let email = Email::parse(row.try_get("email").op(OP)?).map_err(|_| bad("email", "no e-mail address"))?;
    let cart_id: Option<&str> = row.try_get("cart_id").op(OP)?;
    let cart_id = cart_id
        .map(|cart| CartId::parse(cart).ok_or_else(|| bad("cart_id", "no cart id")))
        .transpose()?;
    let Json(address): Json<ShippingAddress> = row.try_get("shipping_address").op(OP)?;
    let sequence: i64 = row.try_get("sequence").op(OP)?;
    let lines = lines.into_iter().map(|(line, price)| Line {
        unit_price: Money::new(price, currency),
        ..line
    });
    let order = Order {
        id: OrderId(id),
        customer_id: UserId(row.try_get("customer_id").op(OP)?),
        guest: row.try_get("guest").op(OP)?,
        email,
        cart_id,
        lines: lines.collect(),
        total: Money::new(row.try_get("total_minor").op(OP)?, currency),
        address,
        state: state(row, id)?,
        payment: payment(row, id)?,
        history,
        version: row.try_get("version").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
        updated_at: row.try_get("updated_at").op(OP)?,
    };
    if order.sequence() != sequence {
        return Err(bad("sequence", "is not the length of the order's history"));
    }
    Ok(order)
}

fn payment(row: &PgRow, id: Uuid) -> Result<Option<PaymentFact>, StoreError> {
    const OP: &str = "orders.read";
    let payment_id: Option<Uuid> = row.try_get("payment_id").op(OP)?;
    let status: Option<&str> = row.try_get("payment_status").op(OP)?;
    match (payment_id, status) {
        (None, None) => Ok(None),
        (Some(payment_id), Some(status)) => Ok(Some(PaymentFact {
            payment_id: PaymentId(payment_id),
            status: PaymentStatus::parse(status)
                .ok_or_else(|| corrupt("orders", "payment_status", id, format!("`{status}`")))?,
        })),
        _ => Err(corrupt(
            "orders",
            "payment_status",
            id,
            "a payment without its status",
        )),
    }
}

fn state(row: &PgRow, id: Uuid) -> Result<State, StoreError> {
    const OP: &str = "orders.read";
    let status = parse_status(id, row.try_get("status").op(OP)?)?;
    let reservation_id: Option<ReservationId> = row
        .try_get::<Option<Uuid>, _>("reservation_id")
        .op(OP)?
        .map(ReservationId);
    let reserved = || reservation_id.ok_or_else(|| corrupt("orders", "reservation_id", id, "is missing"));
    let shipment = Shipment {
        carrier: row.try_get("carrier").op(OP)?,
        tracking_number: row.try_get("tracking_number").op(OP)?,
    };
    Ok(match status {
        Status::Placed => State::Placed,
        Status::PaymentPending => State::PaymentPending {
            reservation_id: reserved()?,
        },
        Status::Confirmed => State::Confirmed {
            reservation_id: reserved()?,
        },
        Status::Shipped => State::Shipped {
            reservation_id: reserved()?,
            shipment,
        },
        Status::Delivered => State::Delivered {
            reservation_id: reserved()?,
            shipment,
        },
        Status::Refunded => State::Refunded {
            reservation_id: reserved()?,
            shipment,
        },
        Status::Cancelled => {
            let reason: Option<&str> = row.try_get("cancel_reason").op(OP)?;
            let reason = reason
                .and_then(CancelReason::parse)
                .ok_or_else(|| corrupt("orders", "cancel_reason", id, "is missing or unknown"))?;
            State::Cancelled {
                reservation_id,
                reason,
            }
        }
    })
}

fn parse_status(id: Uuid, text: &str) -> Result<Status, StoreError> {
    Status::parse(text).ok_or_else(|| corrupt("orders", "status", id, format!("`{text}`")))
}
