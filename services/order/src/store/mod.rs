//! The only place with SQL.

pub(crate) mod beginnings;
pub(crate) mod keys;
pub(crate) mod orders;
pub(crate) mod partitions;
pub(crate) mod sagas;
pub(crate) mod steps;

use ferrocart_pg_kit::StoreError;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

type PgQuery<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// A write that touches another number of rows than it must is a bug or a lost race; it never passes.
fn expect_one(operation: &'static str, actual: u64) -> Result<(), StoreError> {
    if actual == 1 {
        return Ok(());
    }
    Err(StoreError::RowCount {
        operation,
        expected: 1,
        actual,
    })
}

/// As [`expect_one`], for a write of several rows.
fn expect(operation: &'static str, expected: usize, actual: u64) -> Result<(), StoreError> {
    let expected = u64::try_from(expected).unwrap_or(u64::MAX);
    if actual == expected {
        return Ok(());
    }
    Err(StoreError::RowCount {
        operation,
        expected,
        actual,
    })
}

fn corrupt(
    table: &'static str,
    column: &'static str,
    row: impl std::fmt::Display,
    reason: impl std::fmt::Display,
) -> StoreError {
    StoreError::Corrupt {
        table,
        column,
        row: row.to_string(),
        reason: reason.to_string(),
    }
}
