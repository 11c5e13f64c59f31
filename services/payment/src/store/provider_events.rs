use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{PaymentId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::payments;
use crate::domain::{InHand, IntentId, Payment};

/// What there is to know before an event is taken.
#[derive(Debug)]
pub struct Standing {
    /// It was taken before.
    pub known: bool,
    pub payment: Option<Payment>,
    /// The payment's operation that somebody drives right now.
    pub in_hand: Option<InHand>,
}

/// An event, and whom it is about: the payment by its id, or else by its intent.
#[derive(Debug, Clone)]
pub struct Question {
    pub event: String,
    pub payment: Option<PaymentId>,
    pub intent: IntentId,
    pub now: Timestamp,
}

/// In one statement for all, which most events are over with: they tell what the provider's answer told before.
/// Answers each, in order.
pub async fn look_up(conn: &mut PgConnection, questions: &[Question]) -> Result<Vec<Standing>, StoreError> {
    const OP: &str = "provider_events.look_up";
    let rows = sqlx::query(
        "SELECT asked.number, EXISTS (SELECT 1 FROM provider_events e WHERE e.event_id = asked.event_id) AS known,
           p.*, o.kind AS in_hand_kind, o.amount_minor AS in_hand_amount_minor
         FROM UNNEST($1::text[], $2::uuid[], $3::text[], $4::timestamptz[])
                WITH ORDINALITY AS asked (event_id, payment_id, provider_intent, now, number)
         LEFT JOIN LATERAL (
           SELECT * FROM payments WHERE payments.payment_id = asked.payment_id
           UNION ALL
           SELECT * FROM payments
           WHERE asked.payment_id IS NULL AND payments.provider_intent = asked.provider_intent
         ) p ON true
         LEFT JOIN payment_operations o
           ON o.payment_id = p.payment_id AND o.state = 'STARTED' AND o.leased_until > asked.now
         ORDER BY asked.number",
    )
    .bind(questions.iter().map(|asked| asked.event.as_str()).collect::<Vec<_>>())
    .bind(
        questions
            .iter()
            .map(|asked| asked.payment.map(|id| id.as_uuid()))
            .collect::<Vec<_>>(),
    )
    .bind(questions.iter().map(|asked| asked.intent.0.as_str()).collect::<Vec<_>>())
    .bind(questions.iter().map(|asked| asked.now).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .op(OP)?;
    rows.iter().map(standing).collect()
}

fn standing(row: &PgRow) -> Result<Standing, StoreError> {
    const OP: &str = "provider_events.look_up";
    let found: Option<uuid::Uuid> = row.try_get("payment_id").op(OP)?;
    let kind: Option<String> = row.try_get("in_hand_kind").op(OP)?;
    let in_hand = kind.map(|kind| {
        let kind = kind
            .parse()
            .map_err(|error: crate::domain::UnknownName| StoreError::Corrupt {
                table: "payment_operations",
                column: "kind",
                row: found.unwrap_or_default().to_string(),
                reason: error.to_string(),
            })?;
        let amount_minor = row.try_get("in_hand_amount_minor").op(OP)?;
        Ok::<_, StoreError>(InHand { kind, amount_minor })
    });
    Ok(Standing {
        known: row.try_get("known").op(OP)?,
        payment: found.map(|_| payments::payment(row)).transpose()?,
        in_hand: in_hand.transpose()?,
    })
}

/// Records the event with its effect. `false` when it was taken before.
pub async fn record(
    conn: &mut PgConnection,
    event: &str,
    kind: &str,
    payment: PaymentId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO provider_events (event_id, kind, payment_id, received_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind(event)
    .bind(kind)
    .bind(payment.as_uuid())
    .bind(now)
    .execute(conn)
    .await
    .op("provider_events.record")?;
    Ok(done.rows_affected() == 1)
}

/// Forgets events older than `until`, at most `limit` a call; the provider repeats them for days only.
pub async fn forget(conn: &mut PgConnection, until: Timestamp, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM provider_events WHERE event_id IN
           (SELECT event_id FROM provider_events WHERE received_at < $1 LIMIT $2)",
    )
    .bind(until)
    .bind(limit)
    .execute(conn)
    .await
    .op("provider_events.forget")?;
    Ok(done.rows_affected())
}
