use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{PaymentId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::expect_rows;
use super::payments::payment;
use crate::domain::{Books, DifferenceKind, IntentId, Payment};

/// What a run is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The provider's intents.
    Intents,
    /// The provider's refunds, also of older intents.
    Refunds,
    /// Our payments that were not among the provider's.
    Ours,
    /// Differences of earlier runs.
    Open,
    Done,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Intents, Self::Refunds, Self::Ours, Self::Open, Self::Done];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intents => "INTENTS",
            Self::Refunds => "REFUNDS",
            Self::Ours => "OURS",
            Self::Open => "OPEN",
            Self::Done => "DONE",
        }
    }

    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Intents => Self::Refunds,
            Self::Refunds => Self::Ours,
            Self::Ours => Self::Open,
            Self::Open | Self::Done => Self::Done,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: Uuid,
    pub asked_by: Option<UserId>,
    pub window_from: Timestamp,
    pub window_until: Timestamp,
    pub phase: Phase,
    pub cursor: Option<String>,
    pub checked: i64,
    pub differences: i64,
    pub repaired: i64,
    pub attempt: i32,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// What differs, as it is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub id: Uuid,
    pub intent: IntentId,
    pub kind: DifferenceKind,
    pub payment: Option<Payment>,
    pub ours: String,
    pub theirs: String,
    pub repaired: bool,
}

/// A difference as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub id: Uuid,
    pub intent: IntentId,
    pub kind: String,
    pub payment_id: Option<Uuid>,
    pub order_id: Option<Uuid>,
    pub ours: String,
    pub theirs: String,
    pub first_seen_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub repaired_at: Option<Timestamp>,
    pub gone_at: Option<Timestamp>,
}

/// A payment with what is needed to compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    pub payment: Payment,
    pub books: Books,
    /// Something is under way, whose outcome will be known.
    pub in_flight: bool,
}

const RUN: &str = "run_id, asked_by, window_from, window_until, phase, cursor, checked, differences, repaired, \
     attempt, started_at, finished_at";

/// Begins a run, leased to this process; `None` when another one is under way.
pub async fn begin(
    conn: &mut PgConnection,
    run: &Run,
    leased_until: Timestamp,
    unless_since: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO reconciliation_runs (run_id, asked_by, window_from, window_until, phase, leased_until, started_at)
         SELECT $1, $2, $3, $4, $5, $6, $7
         WHERE NOT EXISTS (SELECT 1 FROM reconciliation_runs WHERE started_at > $8)
         ON CONFLICT DO NOTHING",
    )
    .bind(run.id)
    .bind(run.asked_by.map(|user| user.as_uuid()))
    .bind(run.window_from)
    .bind(run.window_until)
    .bind(run.phase.as_str())
    .bind(leased_until)
    .bind(run.started_at)
    .bind(unless_since)
    .execute(conn)
    .await
    .op("reconciliation.begin")?;
    Ok(done.rows_affected() == 1)
}

/// Goes on with the open run that nobody drives.
pub async fn take_over(
    conn: &mut PgConnection,
    now: Timestamp,
    leased_until: Timestamp,
) -> Result<Option<Run>, StoreError> {
    // Put together of constants alone.
    let sql = sqlx::AssertSqlSafe(format!(
        "UPDATE reconciliation_runs SET attempt = attempt + 1, leased_until = $2
         WHERE finished_at IS NULL AND leased_until <= $1 RETURNING {RUN}"
    ));
    let row = sqlx::query(sql)
        .bind(now)
        .bind(leased_until)
        .fetch_optional(conn)
        .await
        .op("reconciliation.take_over")?;
    row.map(|row| read_run(&row)).transpose()
}

pub async fn latest(conn: &mut PgConnection) -> Result<Option<Run>, StoreError> {
    // Put together of constants alone.
    let sql = sqlx::AssertSqlSafe(format!(
        "SELECT {RUN} FROM reconciliation_runs ORDER BY started_at DESC LIMIT 1"
    ));
    let row = sqlx::query(sql)
        .fetch_optional(conn)
        .await
        .op("reconciliation.latest")?;
    row.map(|row| read_run(&row)).transpose()
}

/// Writes down how far the run has come. `false` when somebody else has taken it over.
pub async fn advance(
    conn: &mut PgConnection,
    run: &Run,
    leased_until: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE reconciliation_runs SET phase = $3, cursor = $4, checked = $5, differences = $6, repaired = $7,
           leased_until = $8, finished_at = $9
         WHERE run_id = $1 AND attempt = $2 AND finished_at IS NULL",
    )
    .bind(run.id)
    .bind(run.attempt)
    .bind(run.phase.as_str())
    .bind(run.cursor.as_deref())
    .bind(run.checked)
    .bind(run.differences)
    .bind(run.repaired)
    .bind(leased_until)
    .bind(run.finished_at)
    .execute(conn)
    .await
    .op("reconciliation.advance")?;
    Ok(done.rows_affected() == 1)
}

pub async fn mark_seen(conn: &mut PgConnection, run: Uuid, payments: &[PaymentId]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = payments.iter().map(PaymentId::as_uuid).collect();
    sqlx::query(
        "INSERT INTO reconciliation_seen SELECT $1, * FROM UNNEST($2::uuid[]) ON CONFLICT DO NOTHING",
    )
    .bind(run)
    .bind(ids)
    .execute(conn)
    .await
    .op("reconciliation.mark_seen")?;
    Ok(())
}

/// Forgets what runs that are over have seen, at most `limit` rows a call.
pub async fn forget_seen(conn: &mut PgConnection, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM reconciliation_seen WHERE (run_id, payment_id) IN
           (SELECT s.run_id, s.payment_id FROM reconciliation_seen s JOIN reconciliation_runs r USING (run_id)
            WHERE r.finished_at IS NOT NULL LIMIT $1)",
    )
    .bind(limit)
    .execute(conn)
    .await
    .op("reconciliation.forget_seen")?;
    Ok(done.rows_affected())
}

/// Payments with their books, in no order.
pub async fn ours(conn: &mut PgConnection, ids: &[PaymentId]) -> Result<Vec<Ours>, StoreError> {
    const OP: &str = "reconciliation.ours";
    let ids: Vec<Uuid> = ids.iter().map(PaymentId::as_uuid).collect();
    let rows = sqlx::query(
        "SELECT p.*,
           EXISTS (SELECT 1 FROM payment_operations o
                   WHERE o.payment_id = p.payment_id AND o.state IN ('STARTED', 'UNKNOWN')) AS in_flight,
           coalesce((SELECT sum(l.amount_minor) FROM ledger_entries l
                     WHERE l.payment_id = p.payment_id AND l.account = 'HELD'), 0)::bigint AS held_minor,
           coalesce((SELECT sum(l.amount_minor) FROM ledger_entries l
                     WHERE l.payment_id = p.payment_id AND l.account = 'PROVIDER_RECEIVABLE'), 0)::bigint
             AS receivable_minor
         FROM payments p WHERE p.payment_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(conn)
    .await
    .op(OP)?;
    let read = |row: &PgRow| {
        Ok(Ours {
            payment: payment(row)?,
            books: Books {
                held_minor: row.try_get("held_minor").op(OP)?,
                receivable_minor: row.try_get("receivable_minor").op(OP)?,
            },
            in_flight: row.try_get("in_flight").op(OP)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Payments of the window, by id, that say they are at the provider and were not met there.
pub async fn unseen(
    conn: &mut PgConnection,
    run: Uuid,
    after: Uuid,
    until: Uuid,
    limit: i64,
) -> Result<Vec<PaymentId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT payment_id FROM payments p
         WHERE payment_id > $2 AND payment_id <= $3 AND provider_intent IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM reconciliation_seen s WHERE s.run_id = $1 AND s.payment_id = p.payment_id)
         ORDER BY payment_id LIMIT $4",
    )
    .bind(run)
    .bind(after)
    .bind(until)
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("reconciliation.unseen")?;
    Ok(ids.into_iter().map(PaymentId).collect())
}

/// The payments whose intents these are, but for those of which every listed refund is an operation of
/// ours that succeeded.
pub async fn with_strange_refunds(
    conn: &mut PgConnection,
    intents: &[String],
    operations: &[Option<Uuid>],
) -> Result<Vec<PaymentId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT p.payment_id FROM UNNEST($1::text[], $2::uuid[]) AS r(intent, operation_id)
         JOIN payments p ON p.provider_intent = r.intent
         WHERE NOT EXISTS (SELECT 1 FROM payment_operations o
                           WHERE o.operation_id = r.operation_id AND o.payment_id = p.payment_id
                             AND o.state = 'SUCCEEDED')",
    )
    .bind(intents)
    .bind(operations)
    .fetch_all(conn)
    .await
    .op("reconciliation.with_strange_refunds")?;
    Ok(ids.into_iter().map(PaymentId).collect())
}

/// Keeps a difference, once for its intent and kind.
pub async fn keep(
    conn: &mut PgConnection,
    run: Uuid,
    found: &Found,
    now: Timestamp,
) -> Result<(), StoreError> {
    let payment = found.payment.as_ref();
    let done = sqlx::query(
        "INSERT INTO reconciliation_differences AS d (difference_id, provider_intent, kind, payment_id, order_id, ours,
           theirs, run_id, first_seen_at, last_seen_at, repaired_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, CASE WHEN $10 THEN $9 END)
         ON CONFLICT (provider_intent, kind) DO UPDATE SET ours = excluded.ours, theirs = excluded.theirs,
           run_id = excluded.run_id, last_seen_at = excluded.last_seen_at, repaired_at = excluded.repaired_at,
           gone_at = NULL",
    )
    .bind(found.id)
    .bind(&found.intent.0)
    .bind(found.kind.as_str())
    .bind(payment.map(|payment| payment.id.as_uuid()))
    .bind(payment.map(|payment| payment.terms.order_id.as_uuid()))
    .bind(&found.ours)
    .bind(&found.theirs)
    .bind(run)
    .bind(now)
    .bind(found.repaired)
    .execute(conn)
    .await
    .op("reconciliation.keep")?;
    expect_rows("reconciliation.keep", 1, &done)
}

/// Differences, the newest first.
pub async fn list(
    conn: &mut PgConnection,
    only_open: bool,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Difference>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM reconciliation_differences
         WHERE (NOT $1 OR (repaired_at IS NULL AND gone_at IS NULL)) AND ($2::uuid IS NULL OR difference_id < $2)
         ORDER BY difference_id DESC LIMIT $3",
    )
    .bind(only_open)
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("reconciliation.list")?;
    rows.iter().map(difference).collect()
}

/// Open differences that this run has not met, by id.
pub async fn open_before(
    conn: &mut PgConnection,
    run: &Run,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Difference>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM reconciliation_differences
         WHERE repaired_at IS NULL AND gone_at IS NULL AND run_id <> $1 AND difference_id > $2
         ORDER BY difference_id LIMIT $3",
    )
    .bind(run.id)
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("reconciliation.open_before")?;
    rows.iter().map(difference).collect()
}

/// A difference that is there no more.
pub async fn gone(conn: &mut PgConnection, difference: Uuid, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE reconciliation_differences SET gone_at = $2 WHERE difference_id = $1 AND gone_at IS NULL",
    )
    .bind(difference)
    .bind(now)
    .execute(conn)
    .await
    .op("reconciliation.gone")?;
    Ok(())
}

/// How many differences are open, by kind.
pub async fn open_counts(conn: &mut PgConnection) -> Result<Vec<(String, i64)>, StoreError> {
    sqlx::query_as(
        "SELECT kind, count(*) FROM reconciliation_differences WHERE repaired_at IS NULL AND gone_at IS NULL
         GROUP BY kind",
    )
    .fetch_all(conn)
    .await
    .op("reconciliation.open_counts")
}

fn read_run(row: &PgRow) -> Result<Run, StoreError> {
    const OP: &str = "reconciliation.run";
    let id: Uuid = row.try_get("run_id").op(OP)?;
    let phase: String = row.try_get("phase").op(OP)?;
    let phase = Phase::ALL
        .into_iter()
        .find(|known| known.as_str() == phase)
        .ok_or_else(|| StoreError::Corrupt {
            table: "reconciliation_runs",
            column: "phase",
            row: id.to_string(),
            reason: format!("`{phase}` is no phase"),
        })?;
    let asked_by: Option<Uuid> = row.try_get("asked_by").op(OP)?;
    Ok(Run {
        id,
        asked_by: asked_by.map(UserId),
        window_from: row.try_get("window_from").op(OP)?,
        window_until: row.try_get("window_until").op(OP)?,
        phase,
        cursor: row.try_get("cursor").op(OP)?,
        checked: row.try_get("checked").op(OP)?,
        differences: row.try_get("differences").op(OP)?,
        repaired: row.try_get("repaired").op(OP)?,
        attempt: row.try_get("attempt").op(OP)?,
        started_at: row.try_get("started_at").op(OP)?,
        finished_at: row.try_get("finished_at").op(OP)?,
    })
}

fn difference(row: &PgRow) -> Result<Difference, StoreError> {
    const OP: &str = "reconciliation.difference";
    Ok(Difference {
        id: row.try_get("difference_id").op(OP)?,
        intent: IntentId(row.try_get("provider_intent").op(OP)?),
        kind: row.try_get("kind").op(OP)?,
        payment_id: row.try_get("payment_id").op(OP)?,
        order_id: row.try_get("order_id").op(OP)?,
        ours: row.try_get("ours").op(OP)?,
        theirs: row.try_get("theirs").op(OP)?,
        first_seen_at: row.try_get("first_seen_at").op(OP)?,
        last_seen_at: row.try_get("last_seen_at").op(OP)?,
        repaired_at: row.try_get("repaired_at").op(OP)?,
        gone_at: row.try_get("gone_at").op(OP)?,
    })
}
