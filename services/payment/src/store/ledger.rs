use ferrocart_pg_kit::{StoreError, StoreResultExt};
use sqlx::PgConnection;

use super::expect_rows;
use crate::domain::{Change, Posting};

/// What changes write into the books, column by column.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) sequences: Vec<i64>,
    pub(super) numbers: Vec<i16>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) accounts: Vec<&'static str>,
    pub(super) amounts: Vec<i64>,
}

impl Lines {
    fn of(changes: &[Change]) -> Self {
        let mut lines = Self::default();
        lines.add(changes);
        lines
    }

    /// Answers how many lines were added.
    pub(super) fn add(&mut self, changes: &[Change]) -> usize {
        let before = self.numbers.len();
        for change in changes {
            let Some(posting) = Posting::of(&change.step, change.payment.terms.amount.amount_minor) else {
                continue;
            };
            for (number, entry) in (1_i16..).zip(&posting.entries) {
                self.sequences.push(change.payment.sequence);
                self.numbers.push(number);
                self.kinds.push(posting.kind.as_str());
                self.accounts.push(entry.account.as_str());
                self.amounts.push(entry.amount_minor);
            }
        }
        self.numbers.len() - before
    }
}

/// Writes what the changes mean into the books, in one statement. The database refuses what does not
/// sum to zero, and a step that is in the books already.
pub async fn post(conn: &mut PgConnection, changes: &[Change]) -> Result<(), StoreError> {
    let Some(payment) = changes.last().map(|change| &change.payment) else {
        return Ok(());
    };
    let lines = Lines::of(changes);
    if lines.numbers.is_empty() {
        return Ok(());
    }
    let expected = u64::try_from(lines.numbers.len()).unwrap_or(u64::MAX);
    let done = sqlx::query(
        "INSERT INTO ledger_entries (payment_id, currency, posted_at, sequence, line, kind, account, amount_minor)
         SELECT $1, $2, $3, * FROM UNNEST($4::bigint[], $5::smallint[], $6::text[], $7::text[], $8::bigint[])",
    )
    .bind(payment.id.as_uuid())
    .bind(payment.terms.amount.currency.as_str())
    .bind(payment.updated_at)
    .bind(lines.sequences)
    .bind(lines.numbers)
    .bind(lines.kinds)
    .bind(lines.accounts)
    .bind(lines.amounts)
    .execute(conn)
    .await
    .op("ledger.post")?;
    expect_rows("ledger.post", expected, &done)
}
