use ferrocart_pg_kit::{StoreError, StoreResultExt};
use sqlx::PgConnection;

use super::expect_rows;
use crate::domain::{Change, Posting};

/// Writes what the changes mean into the books, in one statement. The database refuses what does not
/// sum to zero, and a step that is in the books already.
pub async fn post(conn: &mut PgConnection, changes: &[Change]) -> Result<(), StoreError> {
    let Some(payment) = changes.last().map(|change| &change.payment) else {
        return Ok(());
    };
    let (mut sequences, mut lines, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut accounts, mut amounts) = (Vec::new(), Vec::new());
    for change in changes {
        let Some(posting) = Posting::of(&change.step, payment.terms.amount.amount_minor) else {
            continue;
        };
        for (line, entry) in (1_i16..).zip(&posting.entries) {
            sequences.push(change.payment.sequence);
            lines.push(line);
            kinds.push(posting.kind.as_str());
            accounts.push(entry.account.as_str());
            amounts.push(entry.amount_minor);
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let expected = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    let done = sqlx::query(
        "INSERT INTO ledger_entries (payment_id, currency, posted_at, sequence, line, kind, account, amount_minor)
         SELECT $1, $2, $3, * FROM UNNEST($4::bigint[], $5::smallint[], $6::text[], $7::text[], $8::bigint[])",
    )
    .bind(payment.id.as_uuid())
    .bind(payment.terms.amount.currency.as_str())
    .bind(payment.updated_at)
    .bind(sequences)
    .bind(lines)
    .bind(kinds)
    .bind(accounts)
    .bind(amounts)
    .execute(conn)
    .await
    .op("ledger.post")?;
    expect_rows("ledger.post", expected, &done)
}
