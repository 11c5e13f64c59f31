//! The databases, each as of one moment, in the order of the ids.

use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use ferrocart_contracts::v1::{OrderStatus, PaymentStatus};
use ferrocart_types::Timestamp;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Row as _};
use uuid::Uuid;

use super::rows::{Books, Counters, Hold, OrderRow, PaymentRow, ProductRow, ReservationRow, SkuRow};

/// Rows of one id and what is kept of them, in the order of the ids.
pub(crate) type Rows<'c, T> = BoxStream<'c, Result<(Uuid, T)>>;

/// PostgreSQL itself keeps the connection from writing, whatever its role may.
pub(crate) async fn connect(url: &SecretString, database: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::from_str(url.expose_secret())
        .with_context(|| format!("the URL of the database {database}"))?
        .application_name("ferrocart-audit")
        .options([
            ("default_transaction_read_only", "on"),
            ("idle_in_transaction_session_timeout", "0"),
            ("lock_timeout", "10000"),
        ]);
    options
        .connect()
        .await
        .with_context(|| format!("connect to the database {database}"))
}

/// A connection that from now on sees the database as it is now.
pub(crate) async fn snapshot(url: &SecretString, database: &str) -> Result<PgConnection> {
    let mut connection = connect(url, database).await?;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1")
        .execute(&mut connection)
        .await
        .with_context(|| format!("open a snapshot of the database {database}"))?;
    Ok(connection)
}

fn rows<'c, T: 'c>(
    connection: &'c mut PgConnection,
    table: &'static str,
    sql: &'static str,
    read: impl Fn(&PgRow) -> Result<T> + Send + 'c,
) -> Rows<'c, T> {
    sqlx::query(sql)
        .fetch(connection)
        .map_err(move |error| anyhow::Error::new(error).context(format!("read {table}")))
        .map(move |row| {
            let row = row?;
            let key: Uuid = row.try_get(0).with_context(|| format!("{table}: the id"))?;
            let kept = read(&row).with_context(|| format!("{table}: the row {key}"))?;
            Ok((key, kept))
        })
        .boxed()
}

pub(crate) fn orders(connection: &mut PgConnection) -> Rows<'_, OrderRow> {
    const SQL: &str = "
        SELECT o.order_id, o.status, o.total_minor, o.sequence, o.created_at, o.updated_at,
               ARRAY(SELECT h.sequence FROM order_history h WHERE h.order_id = o.order_id ORDER BY h.sequence) AS sequences,
               ARRAY(SELECT h.status FROM order_history h WHERE h.order_id = o.order_id ORDER BY h.sequence) AS statuses,
               s.kind || ' at ' || s.step || ', ' || s.state AS saga, s.created_at AS saga_since,
               coalesce((s.payload ->> 'pays_later')::boolean, false) AS pays_later,
               CASE WHEN o.refunded_minor = 0 AND o.payment_status = 'REFUNDED' THEN o.total_minor
                    ELSE o.refunded_minor END AS refunded_minor,
               coalesce((SELECT sum(r.amount_minor) FROM order_refunds r WHERE r.order_id = o.order_id), 0)::bigint AS given_minor
        FROM orders o LEFT JOIN sagas s ON s.order_id = o.order_id AND s.state <> 'DONE'
        ORDER BY o.order_id";
    rows(connection, "orders", SQL, |row| {
        let sequences: Vec<i64> = row.try_get("sequences")?;
        let statuses: Vec<String> = row.try_get("statuses")?;
        let statuses: Vec<OrderStatus> = statuses
            .iter()
            .map(|text| order_status(text))
            .collect::<Result<_>>()?;
        Ok(OrderRow {
            status: order_status(row.try_get("status")?)?,
            total_minor: row.try_get("total_minor")?,
            sequence: row.try_get("sequence")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            history: sequences.into_iter().zip(statuses).collect(),
            saga: since(row, "saga", "saga_since")?,
            pays_later: row.try_get("pays_later")?,
            refunded_minor: row.try_get("refunded_minor")?,
            given_minor: row.try_get("given_minor")?,
        })
    })
}

pub(crate) fn payments(connection: &mut PgConnection) -> Rows<'_, PaymentRow> {
    const SQL: &str = "
        SELECT p.order_id, p.payment_id, p.status, p.provider_intent, p.authorized_minor, p.captured_minor,
               p.refunded_minor, p.void_requested_at, p.sequence, p.created_at, p.updated_at,
               o.kind || ' ' || o.state AS operation, o.created_at AS operation_since, l.*
        FROM payments p
        LEFT JOIN payment_operations o ON o.payment_id = p.payment_id AND o.state IN ('STARTED', 'UNKNOWN')
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE authorizes) AS authorizations, count(*) FILTER (WHERE captures) AS captures,
                   coalesce(sum(held), 0)::bigint AS held, coalesce(sum(receivable), 0)::bigint AS receivable,
                   count(*) FILTER (WHERE total <> 0) AS unbalanced
            FROM (SELECT bool_or(kind = 'AUTHORIZE') AS authorizes, bool_or(kind = 'CAPTURE') AS captures,
                         sum(amount_minor) FILTER (WHERE account = 'HELD') AS held,
                         sum(amount_minor) FILTER (WHERE account = 'PROVIDER_RECEIVABLE') AS receivable,
                         sum(amount_minor) AS total
                  FROM ledger_entries e WHERE e.payment_id = p.payment_id GROUP BY sequence, currency) t) l
        ORDER BY p.order_id";
    rows(connection, "payments", SQL, |row| {
        Ok(PaymentRow {
            payment_id: row.try_get("payment_id")?,
            status: payment_status(row.try_get("status")?)?,
            provider_intent: row.try_get("provider_intent")?,
            authorized_minor: row.try_get("authorized_minor")?,
            captured_minor: row.try_get("captured_minor")?,
            refunded_minor: row.try_get("refunded_minor")?,
            void_requested_at: row.try_get("void_requested_at")?,
            sequence: row.try_get("sequence")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            operation: since(row, "operation", "operation_since")?,
            books: Books {
                authorizations: row.try_get("authorizations")?,
                captures: row.try_get("captures")?,
                held_minor: row.try_get("held")?,
                receivable_minor: row.try_get("receivable")?,
                unbalanced: row.try_get("unbalanced")?,
            },
        })
    })
}

pub(crate) fn reservations(connection: &mut PgConnection) -> Rows<'_, ReservationRow> {
    const SQL: &str = "SELECT order_id, status, expires_at, updated_at FROM reservations ORDER BY order_id";
    rows(connection, "reservations", SQL, |row| {
        let status: &str = row.try_get("status")?;
        Ok(ReservationRow {
            status: Hold::parse(status).with_context(|| format!("the status {status}"))?,
            expires_at: row.try_get("expires_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    })
}

pub(crate) fn skus(connection: &mut PgConnection) -> Rows<'_, SkuRow> {
    const SQL: &str = "
        WITH standing AS (
            SELECT l.sku_id, sum(l.quantity)::bigint AS units
            FROM reservations r, UNNEST(r.sku_ids, r.quantities) AS l(sku_id, quantity)
            WHERE r.status IN ('RESERVED', 'CONFIRMED') GROUP BY l.sku_id)
        SELECT sku_id, s.on_hand, s.reserved, s.version, s.updated_at,
               l.on_hand AS ledger_on_hand, l.reserved AS ledger_reserved, l.version AS ledger_version,
               coalesce(t.units, 0) AS standing
        FROM stock s
        FULL JOIN stock_from_ledger l USING (sku_id)
        FULL JOIN standing t USING (sku_id)
        ORDER BY sku_id";
    rows(connection, "stock", SQL, |row| {
        let version: Option<i64> = row.try_get("version")?;
        let stock = match version {
            None => None,
            Some(version) => Some((
                Counters {
                    on_hand: row.try_get("on_hand")?,
                    reserved: row.try_get("reserved")?,
                    version,
                },
                row.try_get("updated_at")?,
            )),
        };
        let ledger_version: Option<i64> = row.try_get("ledger_version")?;
        let ledger = match ledger_version {
            None => None,
            Some(version) => Some(Counters {
                on_hand: row.try_get("ledger_on_hand")?,
                reserved: row.try_get("ledger_reserved")?,
                version,
            }),
        };
        Ok(SkuRow {
            stock,
            ledger,
            standing: row.try_get("standing")?,
        })
    })
}

pub(crate) fn products(connection: &mut PgConnection) -> Rows<'_, ProductRow> {
    const SQL: &str = "SELECT product_id, version, status = 'archived' AS archived, updated_at FROM products ORDER BY product_id";
    rows(connection, "products", SQL, |row| {
        Ok(ProductRow {
            version: row.try_get("version")?,
            archived: row.try_get("archived")?,
            updated_at: row.try_get("updated_at")?,
        })
    })
}

/// Events that were committed before `before` and are not published: their number, and the first few.
pub(crate) async fn outbox(connection: &mut PgConnection, before: Timestamp) -> Result<(i64, Vec<String>)> {
    let row = sqlx::query(
        "SELECT (SELECT COALESCE(sum(event_count), 0)::bigint FROM outbox WHERE occurred_at < $1) AS waiting,
                ARRAY(SELECT COALESCE(event_type, event_count || ' events') || ' of ' || key || ' of ' || occurred_at
                      FROM outbox WHERE occurred_at < $1 ORDER BY id LIMIT 5) AS first",
    )
    .bind(before)
    .fetch_one(connection)
    .await
    .context("read an outbox")?;
    Ok((row.try_get("waiting")?, row.try_get("first")?))
}

fn since(row: &PgRow, what: &str, when: &str) -> Result<Option<(String, Timestamp)>> {
    let what: Option<String> = row.try_get(what)?;
    let when: Option<Timestamp> = row.try_get(when)?;
    Ok(what.zip(when))
}

fn order_status(text: &str) -> Result<OrderStatus> {
    OrderStatus::from_str_name(&format!("ORDER_STATUS_{text}")).with_context(|| format!("the status {text}"))
}

fn payment_status(text: &str) -> Result<PaymentStatus> {
    PaymentStatus::from_str_name(&format!("PAYMENT_STATUS_{text}"))
        .with_context(|| format!("the status {text}"))
}
