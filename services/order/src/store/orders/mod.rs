mod refunds;
mod write;

use std::collections::HashMap;

use chrono::TimeDelta;
use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{
    Currency, Email, Money, OrderId, PaymentId, ProductId, Quantity, ReservationId, SkuId, Timestamp, UserId,
};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::corrupt;
use crate::domain::{
    CancelReason, CartId, HistoryEntry, Line, Order, PaymentFact, PaymentStatus, Shipment, ShippingAddress,
    State, Status,
};

pub(crate) use write::{Change, insert, note_payments, update};
pub(in crate::store) use write::{bind_changes, set_order};

macro_rules! select_orders {
    ($rest:literal) => {
        concat!(
            "SELECT order_id, customer_id, guest, email, cart_id, status, total_minor, currency, shipping_address,
                    reservation_id, payment_id, payment_status, refunded_minor, carrier, tracking_number, cancel_reason, sequence,
                    version, created_at, updated_at FROM orders ",
            $rest
        )
    };
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

/// Which orders a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filter {
    /// Everybody's when it is left away.
    pub(crate) customer: Option<UserId>,
    pub(crate) status: Option<Status>,
    pub(crate) created_from: Option<Timestamp>,
    /// Not included.
    pub(crate) created_to: Option<Timestamp>,
}

macro_rules! list_orders {
    ($whose:literal) => {
        concat!(
            "SELECT order_id, customer_id, guest, email, cart_id, status, total_minor, currency, shipping_address,
                    reservation_id, payment_id, payment_status, refunded_minor, carrier, tracking_number, cancel_reason, sequence,
                    version, created_at, updated_at FROM orders WHERE ",
            $whose,
            " AND order_id >= $2 AND order_id < $3
              AND created_at >= COALESCE($4::timestamptz, '-infinity')
              AND created_at < COALESCE($5::timestamptz, 'infinity')
              AND ($6::text IS NULL OR status = $6)
              ORDER BY order_id DESC LIMIT $7"
        )
    };
}

/// The months that are read follow from the range of ids.
pub const LIST_OF_CUSTOMER: &str = list_orders!("customer_id = $1");
pub const LIST_OF_ALL: &str = list_orders!("$1::uuid IS NULL");

/// How far an order's id may be from the time at which it was placed: a hold names the order that it becomes, and
/// can be held for an hour.
const ID_MARGIN: TimeDelta = TimeDelta::days(1);

/// Orders, the newest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    filter: Filter,
    before: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Order>, StoreError> {
    let lowest = filter
        .created_from
        .map_or(Uuid::nil(), |from| lowest_id(from - ID_MARGIN));
    let end = filter
        .created_to
        .map_or(Uuid::max(), |to| lowest_id(to + ID_MARGIN));
    let end = before.map_or(end, |before| end.min(before.as_uuid()));
    let query = if filter.customer.is_some() {
        LIST_OF_CUSTOMER
    } else {
        LIST_OF_ALL
    };
    let rows = sqlx::query(query)
        .bind(filter.customer.map(|customer| customer.as_uuid()))
        .bind(lowest)
        .bind(end)
        .bind(filter.created_from)
        .bind(filter.created_to)
        .bind(filter.status.map(Status::as_str))
        .bind(limit)
        .fetch_all(&mut *conn)
        .await
        .op("orders.list")?;
    with_parts(conn, rows).await
}

/// The lowest UUIDv7 of a moment.
fn lowest_id(at: Timestamp) -> Uuid {
    let milliseconds = u64::try_from(at.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(u128::from(milliseconds) << 80)
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
    let mut refunds = refunds::read(conn, &paid_back(&rows)?).await?;
    rows.iter()
        .zip(ids)
        .map(|(row, id)| {
            let lines = lines.remove(&id).unwrap_or_default();
            let mut history = history.remove(&id).unwrap_or_default();
            // The history was read after the order, which may have moved on in between: what was written
            // after the row that was read is left out. Entries are only ever appended.
            let sequence: i64 = row.try_get("sequence").op("orders.read")?;
            history.truncate(usize::try_from(sequence).unwrap_or(usize::MAX));
            let mut order = order(row, lines, history)?;
            // As with the history: what was written after the row is left out.
            let mut known = refunds.remove(&id).unwrap_or_default();
            known.retain(|refund| refund.at <= order.updated_at);
            order.refunds = known;
            Ok(order)
        })
        .collect()
}

/// Orders of which money went back, with their currencies.
fn paid_back(rows: &[PgRow]) -> Result<HashMap<Uuid, Currency>, StoreError> {
    const OP: &str = "orders.read";
    let mut found = HashMap::new();
    for row in rows {
        let id: Uuid = row.try_get("order_id").op(OP)?;
        if payment(row, id)?.is_some_and(|payment| payment.refunded_minor > 0) {
            found.insert(id, currency(row, id)?);
        }
    }
    Ok(found)
}

/// Lines by order, still without their currency, which is the order's.
type RawLine = (Line, i64);

async fn lines_of(conn: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<RawLine>>, StoreError> {
    const OP: &str = "order_lines.read";
    let rows = sqlx::query(
        "SELECT order_id, sku_id, product_id, sku, title, quantity, unit_price_minor
         FROM order_lines WHERE order_id = ANY($1) AND order_id BETWEEN $2 AND $3 ORDER BY order_id, line_no",
    )
    .bind(ids)
    // An array alone would have every month looked at.
    .bind(ids.iter().min())
    .bind(ids.iter().max())
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
        "SELECT order_id, status, at, reason, refunded_minor FROM order_history WHERE order_id = ANY($1) AND order_id BETWEEN $2 AND $3 ORDER BY order_id, sequence",
    )
    .bind(ids)
    // An array alone would have every month looked at.
    .bind(ids.iter().min())
    .bind(ids.iter().max())
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
            // In the order's currency, as the lines' prices.
            refunded: row
                .try_get::<Option<i64>, _>("refunded_minor")
                .op(OP)?
                .map(|minor| Money::new(minor, Currency::USD)),
        };
        history.entry(id).or_default().push(entry);
    }
    Ok(history)
}

fn order(row: &PgRow, lines: Vec<RawLine>, history: Vec<HistoryEntry>) -> Result<Order, StoreError> {
    const OP: &str = "orders.read";
    let id: Uuid = row.try_get("order_id").op(OP)?;
    let bad = |column, reason: &str| corrupt("orders", column, id, reason);
    let currency = currency(row, id)?;
    let email = Email::parse(row.try_get("email").op(OP)?).map_err(|_| bad("email", "no e-mail address"))?;
    let cart_id: Option<&str> = row.try_get("cart_id").op(OP)?;
    let cart_id = cart_id
        .map(|cart| CartId::parse(cart).ok_or_else(|| bad("cart_id", "no cart id")))
        .transpose()?;
    let Json(address): Json<ShippingAddress> = row.try_get("shipping_address").op(OP)?;
    let sequence: i64 = row.try_get("sequence").op(OP)?;
    let history = history.into_iter().map(|entry| HistoryEntry {
        refunded: entry
            .refunded
            .map(|amount| Money::new(amount.amount_minor, currency)),
        ..entry
    });
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
        history: history.collect(),
        refunds: Vec::new(),
        version: row.try_get("version").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
        updated_at: row.try_get("updated_at").op(OP)?,
    };
    if order.sequence() != sequence {
        return Err(bad("sequence", "is not the length of the order's history"));
    }
    Ok(order)
}

fn currency(row: &PgRow, id: Uuid) -> Result<Currency, StoreError> {
    row.try_get::<&str, _>("currency")
        .op("orders.read")?
        .parse()
        .map_err(|error| corrupt("orders", "currency", id, error))
}

fn payment(row: &PgRow, id: Uuid) -> Result<Option<PaymentFact>, StoreError> {
    const OP: &str = "orders.read";
    let payment_id: Option<Uuid> = row.try_get("payment_id").op(OP)?;
    let status: Option<&str> = row.try_get("payment_status").op(OP)?;
    match (payment_id, status) {
        (None, None) => Ok(None),
        (Some(payment_id), Some(status)) => {
            let status = PaymentStatus::parse(status)
                .ok_or_else(|| corrupt("orders", "payment_status", id, format!("`{status}`")))?;
            let refunded_minor = match (row.try_get("refunded_minor").op(OP)?, status) {
                // Refunded before parts could be: all of it.
                (0, PaymentStatus::Refunded) => row.try_get("total_minor").op(OP)?,
                (refunded_minor, _) => refunded_minor,
            };
            Ok(Some(PaymentFact {
                payment_id: PaymentId(payment_id),
                status,
                refunded_minor,
            }))
        }
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
