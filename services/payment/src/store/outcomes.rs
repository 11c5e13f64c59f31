//! The outcome of an operation, written down in one statement.

use ferrocart_contracts::{Envelope, Topic};
use ferrocart_pg_kit::{StoreError, StoreResultExt, outbox};
use sqlx::PgConnection;

use super::ledger::Lines;
use super::payments::details;
use crate::domain::{Change, OpenOperation, OperationState, Payment};

/// What an operation came to.
#[derive(Debug)]
pub struct Outcome<'a> {
    pub before: &'a Payment,
    /// At least one, from `before` on.
    pub changes: &'a [Change],
    pub operation: &'a OpenOperation,
    pub state: OperationState,
    pub note: Option<&'a str>,
    /// One for each change.
    pub events: &'a [Envelope],
}

/// The payment's row, the books, the operation's end and the events: all of it, or nothing when the
/// payment is no longer as it was read.
///
/// A payment's outbox rows come in the order of its sequence: they are inserted from the updated row,
/// so after its lock was had.
const RECORD: &str = "
WITH moved AS (
    UPDATE payments
    SET status = $3, provider_intent = $4, authorized_minor = $5, captured_minor = $6, refunded_minor = $7,
        redirect_url = $8, capture_before = $9, reason = $10, sequence = $11, updated_at = $12
    WHERE payment_id = $1 AND sequence = $2
    RETURNING payment_id, currency, updated_at, void_requested_at IS NOT NULL AS void_requested
), ended AS (
    UPDATE payment_operations o SET state = $13, note = $14, finished_at = moved.updated_at
    FROM moved
    WHERE o.operation_id = $15 AND o.attempt = $16 AND o.state IN ('STARTED', 'UNKNOWN')
), posted AS (
    INSERT INTO ledger_entries (payment_id, currency, posted_at, sequence, line, kind, account, amount_minor)
    SELECT moved.payment_id, moved.currency, moved.updated_at, l.*
    FROM moved, UNNEST($17::bigint[], $18::smallint[], $19::text[], $20::text[], $21::bigint[]) AS l
), told AS (
    INSERT INTO outbox (topic, source, occurred_at, key, event_count, packed)
    SELECT $22, $23, moved.updated_at, e.*
    FROM moved, UNNEST($24::text[], $25::integer[], $26::bytea[]) AS e
)
SELECT void_requested FROM moved";

/// Answers whether the payment is to be voided; `None` when it has moved on meanwhile and nothing was
/// written.
pub async fn record(conn: &mut PgConnection, outcome: &Outcome<'_>) -> Result<Option<bool>, StoreError> {
    let Some(after) = outcome.changes.last().map(|change| &change.payment) else {
        return Ok(None);
    };
    let (redirect_url, capture_before, reason) = details(&after.state);
    let lines = Lines::of(outcome.changes);
    let rows = outbox::pack(outcome.events);
    let counts: Vec<i32> = rows.iter().map(|row| row.count).collect();
    let (keys, packed): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.key, row.bytes)).unzip();
    sqlx::query_scalar(RECORD)
        .bind(after.id.as_uuid())
        .bind(outcome.before.sequence)
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
        .bind(outcome.state.as_str())
        .bind(outcome.note)
        .bind(outcome.operation.id)
        .bind(outcome.operation.attempt)
        .bind(lines.sequences)
        .bind(lines.numbers)
        .bind(lines.kinds)
        .bind(lines.accounts)
        .bind(lines.amounts)
        .bind(Topic::Payment.name())
        // All events of this service come from this service.
        .bind(outcome.events.first().map_or("", |event| event.source.as_str()))
        .bind(keys)
        .bind(counts)
        .bind(packed)
        .fetch_optional(conn)
        .await
        .op("outcomes.record")
}
