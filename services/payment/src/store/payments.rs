use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{Currency, Money, OrderId, PaymentId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::expect_rows;
use crate::domain::{IntentId, MethodToken, Payment, State, Status, Terms};

const COLUMNS: &str = "payment_id, order_id, customer_id, amount_minor, currency, payment_method, status, \
     provider_intent, authorized_minor, captured_minor, refunded_minor, redirect_url, capture_before, reason, \
     void_requested_at, let_go_at, sequence, created_at, updated_at";

/// Which payment is meant.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    Id(PaymentId),
    Order(OrderId),
    Intent(&'a IntentId),
}

pub async fn find(conn: &mut PgConnection, by: By<'_>) -> Result<Option<Payment>, StoreError> {
    select(conn, by, "").await
}

/// Locks the payment until the transaction ends: whatever changes a payment does this first.
pub async fn lock(conn: &mut PgConnection, by: By<'_>) -> Result<Option<Payment>, StoreError> {
    select(conn, by, " FOR UPDATE").await
}

async fn select(
    conn: &mut PgConnection,
    by: By<'_>,
    locking: &'static str,
) -> Result<Option<Payment>, StoreError> {
    const OP: &str = "payments.find";
    let column = match by {
        By::Id(_) => "payment_id",
        By::Order(_) => "order_id",
        By::Intent(_) => "provider_intent",
    };
    // Put together of constants alone.
    let sql = sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM payments WHERE {column} = $1{locking}"
    ));
    let query = match by {
        By::Id(id) => sqlx::query(sql).bind(id.as_uuid()),
        By::Order(id) => sqlx::query(sql).bind(id.as_uuid()),
        By::Intent(id) => sqlx::query(sql).bind(&id.0),
    };
    let row = query.fetch_optional(conn).await.op(OP)?;
    row.map(|row| payment(&row)).transpose()
}

/// The bank's page, the authorization's end and the reason: what of a state has columns of its own.
pub(super) fn details(state: &State) -> (Option<&str>, Option<Timestamp>, Option<&str>) {
    match state {
        State::RequiresAction { redirect_url } => (Some(redirect_url.as_str()), None, None),
        State::Authorized { capture_before } => (None, *capture_before, None),
        State::Declined { code } | State::Failed { code } => (None, None, Some(code.as_str())),
        State::Voided { reason, .. } => (None, None, Some(reason.as_str())),
        State::Pending | State::Captured { .. } | State::Refunded { .. } => (None, None, None),
    }
}

/// Writes the payment's new state over the one of `before`, which must still stand there.
pub async fn update(conn: &mut PgConnection, before: &Payment, after: &Payment) -> Result<(), StoreError> {
    let (redirect_url, capture_before, reason) = details(&after.state);
    let done = sqlx::query(
        "UPDATE payments SET status = $3, provider_intent = $4, authorized_minor = $5, captured_minor = $6,
           refunded_minor = $7, redirect_url = $8, capture_before = $9, reason = $10, sequence = $11, updated_at = $12
         WHERE payment_id = $1 AND sequence = $2",
    )
    .bind(after.id.as_uuid())
    .bind(before.sequence)
    .bind(after.status().as_str())
    .bind(after.intent.as_ref().map(|intent| intent.0.as_str()))
    .bind(after.authorized_minor())
    .bind(after.state.captured_minor())
    .bind(after.state.refunded_minor())
    .bind(redirect_url)
    .bind(capture_before)
    .bind(reason)
    .bind(after.sequence)
    .bind(after.updated_at)
    .execute(conn)
    .await
    .op("payments.update")?;
    expect_rows("payments.update", 1, &done)
}

/// Names the method of a payment that was opened without.
pub async fn pay_with(
    conn: &mut PgConnection,
    payment: PaymentId,
    method: &MethodToken,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE payments SET payment_method = $2
         WHERE payment_id = $1 AND payment_method IS NULL AND status = 'PENDING'",
    )
    .bind(payment.as_uuid())
    .bind(method.as_str())
    .execute(conn)
    .await
    .op("payments.pay_with")?;
    expect_rows("payments.pay_with", 1, &done)
}

/// Keeps which intent the customer is to confirm; nothing has happened to the payment by that.
pub async fn note_intent(
    conn: &mut PgConnection,
    payment: PaymentId,
    intent: &IntentId,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE payments SET provider_intent = $2 WHERE payment_id = $1 AND provider_intent IS NULL",
    )
    .bind(payment.as_uuid())
    .bind(&intent.0)
    .execute(conn)
    .await
    .op("payments.note_intent")?;
    expect_rows("payments.note_intent", 1, &done)
}

/// Remembers that a declined payment's intent can be confirmed no more.
pub async fn note_let_go(
    conn: &mut PgConnection,
    payment: PaymentId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE payments SET let_go_at = $2 WHERE payment_id = $1 AND let_go_at IS NULL")
        .bind(payment.as_uuid())
        .bind(now)
        .execute(conn)
        .await
        .op("payments.note_let_go")?;
    Ok(())
}

/// Remembers that what is held for the payment must be let go.
pub async fn request_void(
    conn: &mut PgConnection,
    payment: PaymentId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE payments SET void_requested_at = coalesce(void_requested_at, $2) WHERE payment_id = $1",
    )
    .bind(payment.as_uuid())
    .bind(now)
    .execute(conn)
    .await
    .op("payments.request_void")?;
    expect_rows("payments.request_void", 1, &done)
}

/// Orders whose authorization has ended, uncaptured, the oldest first.
pub async fn expired(
    conn: &mut PgConnection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<OrderId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT order_id FROM payments
         WHERE status = 'AUTHORIZED' AND void_requested_at IS NULL AND capture_before <= $1
         ORDER BY capture_before LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("payments.expired")?;
    Ok(ids.into_iter().map(OrderId).collect())
}

/// Orders whose payment must be let go and for which nothing is under way, the oldest first.
pub async fn to_void(conn: &mut PgConnection, limit: i64) -> Result<Vec<OrderId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT order_id FROM payments p
         WHERE void_requested_at IS NOT NULL
           AND (status IN ('PENDING', 'REQUIRES_ACTION', 'AUTHORIZED')
                OR status = 'DECLINED' AND let_go_at IS NULL AND provider_intent IS NOT NULL)
           AND NOT EXISTS (SELECT 1 FROM payment_operations o
                           WHERE o.payment_id = p.payment_id AND o.state IN ('STARTED', 'UNKNOWN'))
         ORDER BY void_requested_at LIMIT $1",
    )
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("payments.to_void")?;
    Ok(ids.into_iter().map(OrderId).collect())
}

pub(super) fn payment(row: &PgRow) -> Result<Payment, StoreError> {
    const OP: &str = "payments.row";
    let id: Uuid = row.try_get("payment_id").op(OP)?;
    let corrupt = |column: &'static str, reason: String| StoreError::Corrupt {
        table: "payments",
        column,
        row: id.to_string(),
        reason,
    };
    let currency: String = row.try_get("currency").op(OP)?;
    let currency: Currency = currency
        .parse()
        .map_err(|error: ferrocart_types::InvalidCurrency| corrupt("currency", error.to_string()))?;
    let method: Option<&str> = row.try_get("payment_method").op(OP)?;
    let method = method
        .map(MethodToken::parse)
        .transpose()
        .map_err(|error| corrupt("payment_method", error.to_string()))?;
    let terms = Terms {
        order_id: OrderId(row.try_get("order_id").op(OP)?),
        customer_id: UserId(row.try_get("customer_id").op(OP)?),
        amount: Money::new(row.try_get("amount_minor").op(OP)?, currency),
        method,
    };
    let intent: Option<String> = row.try_get("provider_intent").op(OP)?;
    let void_requested_at: Option<Timestamp> = row.try_get("void_requested_at").op(OP)?;
    let let_go_at: Option<Timestamp> = row.try_get("let_go_at").op(OP)?;
    Ok(Payment {
        id: PaymentId(id),
        terms,
        intent: intent.map(IntentId),
        state: state(row, &corrupt)?,
        void_requested: void_requested_at.is_some(),
        let_go: let_go_at.is_some(),
        sequence: row.try_get("sequence").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
        updated_at: row.try_get("updated_at").op(OP)?,
    })
}

fn state(row: &PgRow, corrupt: &impl Fn(&'static str, String) -> StoreError) -> Result<State, StoreError> {
    const OP: &str = "payments.row";
    let status: String = row.try_get("status").op(OP)?;
    let status: Status = status
        .parse()
        .map_err(|error: crate::domain::UnknownStatus| corrupt("status", error.to_string()))?;
    let reason = || -> Result<String, StoreError> {
        let reason: Option<String> = row.try_get("reason").op(OP)?;
        reason.ok_or_else(|| corrupt("reason", format!("missing although {status}")))
    };
    let captured_minor: i64 = row.try_get("captured_minor").op(OP)?;
    let refunded_minor: i64 = row.try_get("refunded_minor").op(OP)?;
    let authorized_minor: i64 = row.try_get("authorized_minor").op(OP)?;
    Ok(match status {
        Status::Pending => State::Pending,
        Status::RequiresAction => {
            let url: Option<String> = row.try_get("redirect_url").op(OP)?;
            State::RequiresAction {
                redirect_url: url.ok_or_else(|| corrupt("redirect_url", "missing".to_owned()))?,
            }
        }
        Status::Authorized => State::Authorized {
            capture_before: row.try_get("capture_before").op(OP)?,
        },
        Status::Declined => State::Declined { code: reason()? },
        Status::Failed => State::Failed { code: reason()? },
        Status::Voided => State::Voided {
            reason: reason()?,
            was_authorized: authorized_minor > 0,
        },
        Status::Captured => State::Captured {
            captured_minor,
            refunded_minor,
        },
        Status::Refunded => State::Refunded { captured_minor },
    })
}
