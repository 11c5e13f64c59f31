//! The outcomes of operations, written down in one statement for many.

use ferrocart_contracts::{Envelope, Topic};
use ferrocart_pg_kit::{StoreError, StoreResultExt, outbox};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::ledger::Lines;
use super::payments::details;
use crate::domain::{Change, OpenOperation, OperationState, Payment};

/// What an operation came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The payment's sequence when it was read.
    pub was: i64,
    /// At least one, from there on.
    pub changes: Vec<Change>,
    pub operation: OpenOperation,
    pub state: OperationState,
    pub note: Option<String>,
    /// One for each change, all of this service.
    pub events: Vec<Envelope>,
}

/// The payments' rows, the books, the operations' ends and the events: all of an outcome, or nothing of it when
/// its payment is no longer as it was read.
///
/// A payment's outbox rows come in the order of its sequence: they are inserted from the updated row,
/// so after its lock was had. Of two outcomes of one payment the row is updated by one, whose number it gives.
const RECORD: &str = "
WITH change AS (
    SELECT * FROM UNNEST($1::integer[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
                         $8::bigint[], $9::text[], $10::timestamptz[], $11::text[], $12::bigint[], $13::timestamptz[],
                         $14::uuid[], $15::integer[], $16::text[], $17::text[])
        AS change (number, payment_id, was, status, provider_intent, authorized_minor, captured_minor, refunded_minor,
                   redirect_url, capture_before, reason, sequence, updated_at, operation_id, attempt, state, note)
), moved AS (
    UPDATE payments p
    SET status = c.status, provider_intent = c.provider_intent, authorized_minor = c.authorized_minor,
        captured_minor = c.captured_minor, refunded_minor = c.refunded_minor, redirect_url = c.redirect_url,
        capture_before = c.capture_before, reason = c.reason, sequence = c.sequence, updated_at = c.updated_at
    FROM change c
    WHERE p.payment_id = c.payment_id AND p.sequence = c.was
    RETURNING c.number, p.payment_id, p.currency, p.updated_at, p.void_requested_at IS NOT NULL AS void_requested
), ended AS (
    UPDATE payment_operations o SET state = c.state, note = c.note, finished_at = moved.updated_at
    FROM moved JOIN change c USING (number)
    WHERE o.operation_id = c.operation_id AND o.attempt = c.attempt AND o.state IN ('STARTED', 'UNKNOWN')
), posted AS (
    INSERT INTO ledger_entries (payment_id, currency, posted_at, sequence, line, kind, account, amount_minor)
    SELECT moved.payment_id, moved.currency, moved.updated_at, l.sequence, l.line, l.kind, l.account, l.amount_minor
    FROM UNNEST($18::integer[], $19::bigint[], $20::smallint[], $21::text[], $22::text[], $23::bigint[])
             AS l (number, sequence, line, kind, account, amount_minor)
    JOIN moved USING (number)
), told AS (
    INSERT INTO outbox (topic, source, occurred_at, key, event_count, packed)
    SELECT $24, $25, moved.updated_at, e.key, e.event_count, e.packed
    FROM UNNEST($26::integer[], $27::text[], $28::integer[], $29::bytea[]) AS e (number, key, event_count, packed)
    JOIN moved USING (number)
)
SELECT number, void_requested FROM moved";

/// What follows from outcomes, by the number of each: lines of the books, and rows of the outbox.
#[derive(Default)]
struct Following {
    posted: Vec<i32>,
    lines: Lines,
    told: Vec<i32>,
    keys: Vec<String>,
    counts: Vec<i32>,
    packed: Vec<Vec<u8>>,
}

impl Following {
    fn add(&mut self, number: i32, outcome: &Outcome) {
        let lines = self.lines.add(&outcome.changes);
        self.posted.extend(std::iter::repeat_n(number, lines));
        for row in outbox::pack(&outcome.events) {
            self.told.push(number);
            self.keys.push(row.key);
            self.counts.push(row.count);
            self.packed.push(row.bytes);
        }
    }
}

/// Answers for each, in order, whether its payment is to be voided; `None` when that has moved on meanwhile and
/// nothing was written.
pub async fn record(conn: &mut PgConnection, outcomes: &[Outcome]) -> Result<Vec<Option<bool>>, StoreError> {
    const OP: &str = "outcomes.record";
    let numbered: Vec<(i32, &Outcome, &Payment)> = (0_i32..)
        .zip(outcomes)
        .filter_map(|(number, outcome)| Some((number, outcome, &outcome.changes.last()?.payment)))
        .collect();
    let mut following = Following::default();
    for (number, outcome, _) in &numbered {
        following.add(*number, outcome);
    }
    let source = outcomes.iter().find_map(|outcome| outcome.events.first());
    let after = || numbered.iter().map(|(_, _, after)| *after);
    let known = || numbered.iter().map(|(_, outcome, _)| *outcome);
    let found = sqlx::query(RECORD)
        .bind(numbered.iter().map(|(number, ..)| *number).collect::<Vec<_>>())
        .bind(after().map(|after| after.id.as_uuid()).collect::<Vec<_>>())
        .bind(known().map(|outcome| outcome.was).collect::<Vec<_>>())
        .bind(after().map(|after| after.status().as_str()).collect::<Vec<_>>())
        .bind(
            after()
                .map(|after| after.intent.as_ref().map(|intent| intent.0.as_str()))
                .collect::<Vec<_>>(),
        )
        .bind(after().map(Payment::authorized_minor).collect::<Vec<_>>())
        .bind(
            after()
                .map(|after| after.state.captured_minor())
                .collect::<Vec<_>>(),
        )
        .bind(
            after()
                .map(|after| after.state.refunded_minor())
                .collect::<Vec<_>>(),
        )
        .bind(after().map(|after| details(&after.state).0).collect::<Vec<_>>())
        .bind(after().map(|after| details(&after.state).1).collect::<Vec<_>>())
        .bind(after().map(|after| details(&after.state).2).collect::<Vec<_>>())
        .bind(after().map(|after| after.sequence).collect::<Vec<_>>())
        .bind(after().map(|after| after.updated_at).collect::<Vec<_>>())
        .bind(known().map(|outcome| outcome.operation.id).collect::<Vec<_>>())
        .bind(
            known()
                .map(|outcome| outcome.operation.attempt)
                .collect::<Vec<_>>(),
        )
        .bind(known().map(|outcome| outcome.state.as_str()).collect::<Vec<_>>())
        .bind(known().map(|outcome| outcome.note.as_deref()).collect::<Vec<_>>())
        .bind(following.posted)
        .bind(following.lines.sequences)
        .bind(following.lines.numbers)
        .bind(following.lines.kinds)
        .bind(following.lines.accounts)
        .bind(following.lines.amounts)
        .bind(Topic::Payment.name())
        .bind(source.map_or("", |event| event.source.as_str()))
        .bind(following.told)
        .bind(following.keys)
        .bind(following.counts)
        .bind(following.packed)
        .fetch_all(conn)
        .await
        .op(OP)?;
    answers(outcomes.len(), &found).op(OP)
}

/// By number; none for those that changed nothing.
fn answers(count: usize, found: &[PgRow]) -> Result<Vec<Option<bool>>, sqlx::Error> {
    let mut answers = vec![None; count];
    for row in found {
        let number: i32 = row.try_get("number")?;
        let place = usize::try_from(number).ok().and_then(|at| answers.get_mut(at));
        if let Some(answer) = place {
            *answer = Some(row.try_get("void_requested")?);
        }
    }
    Ok(answers)
}
