use std::error::Error;

use ferrocart_failpoint::Fault;

/// What can go wrong in a store, with the operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{operation}: {source}")]
    Database {
        operation: &'static str,
        source: sqlx::Error,
    },
    /// Stored data that the domain does not allow; never papered over.
    #[error("table {table}, column {column}, row {row}: {reason}")]
    Corrupt {
        table: &'static str,
        column: &'static str,
        row: String,
        reason: String,
    },
    /// A write touched another number of rows than it must.
    #[error("{operation}: {actual} rows were changed, {expected} expected")]
    RowCount {
        operation: &'static str,
        expected: u64,
        actual: u64,
    },
    /// What the database said to the batch that the call was part of, or that it said nothing.
    #[error("{operation}: {reason}")]
    Unavailable { operation: &'static str, reason: String },
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database {
            operation: "transaction",
            source,
        }
    }
}

/// Like a connection that is lost: whether the database did it is not known.
impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Database {
            operation: "failpoint",
            source: sqlx::Error::Io(std::io::Error::other(fault)),
        }
    }
}

impl StoreError {
    /// The database cannot be reached or refuses work now; the same call may succeed later.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Database { source, .. } => is_unavailable(source),
            Self::Unavailable { .. } => true,
            Self::Corrupt { .. } | Self::RowCount { .. } => false,
        }
    }
}

/// Names the operation that a `sqlx` call belongs to.
pub trait StoreResultExt<T> {
    fn op(self, operation: &'static str) -> Result<T, StoreError>;
}

impl<T> StoreResultExt<T> for Result<T, sqlx::Error> {
    fn op(self, operation: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Database { operation, source })
    }
}

/// The SQLSTATE of a database error, five characters.
pub fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .map(std::borrow::Cow::into_owned)
}

/// Connection lost (class 08), resources short (53), shut down or starting (57P), or no connection
/// to be had in time. What was under way may or may not have been committed.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        other => sqlstate(other)
            .is_some_and(|code| code.starts_with("08") || code.starts_with("53") || code.starts_with("57")),
    }
}

/// Serialization failure or deadlock: the transaction did nothing and may be run again.
pub(crate) fn is_retryable(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<sqlx::Error>() {
            return sqlstate(error).is_some_and(|code| code == "40001" || code == "40P01");
        }
        cause = error.source();
    }
    false
}
