//! The only place with SQL: a file per aggregate.

pub mod ledger;
pub mod openings;
pub mod operations;
pub mod outcomes;
pub mod payments;
pub mod provider_events;
pub mod reconciliation;
pub mod slots;

use ferrocart_pg_kit::StoreError;
use sqlx::postgres::PgQueryResult;

fn expect_rows(operation: &'static str, expected: u64, done: &PgQueryResult) -> Result<(), StoreError> {
    let actual = done.rows_affected();
    if actual == expected {
        return Ok(());
    }
    Err(StoreError::RowCount {
        operation,
        expected,
        actual,
    })
}
