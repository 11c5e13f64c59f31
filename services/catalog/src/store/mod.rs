//! The only place with SQL.

pub(crate) mod browse;
pub(crate) mod categories;
pub(crate) mod imports;
pub(crate) mod prices;
pub(crate) mod products;
pub(crate) mod purchases;
pub(crate) mod reviews;
pub(crate) mod variants;

use ferrocart_pg_kit::StoreError;
use sqlx::postgres::PgQueryResult;

/// A write that touched another number of rows than it must is a bug or a race: never go on.
fn expect_rows(operation: &'static str, result: &PgQueryResult, expected: usize) -> Result<(), StoreError> {
    let actual = result.rows_affected();
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
