use ferrocart_pg_kit::{StoreError, sqlstate};

use crate::store::STALE;

/// What a batch that failed needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing was done, because somebody else was in the way: decide anew.
    Again,
    /// Nothing was done, because of one request: halve the batch until it is found.
    Divide,
    /// It may have been done. Only reading back tells.
    Unknown,
    /// Nothing was done; PostgreSQL takes no such work now.
    Refused,
    /// Nothing was done, and trying again would not help.
    Fatal,
}

/// Only an answer of PostgreSQL that aborts the statement or the transaction says that nothing was done.
/// Everything else (class 08, 57P01, a broken pipe, no answer at all) says nothing.
pub(super) fn classify(error: &StoreError) -> Failure {
    let source = match error {
        StoreError::Corrupt { .. } | StoreError::RowCount { .. } => return Failure::Divide,
        StoreError::Unavailable { .. } => return Failure::Unknown,
        StoreError::Database { source, .. } => source,
    };
    let Some(code) = sqlstate(source) else {
        return match source {
            // The answer came and could not be read, or the arguments could not be sent.
            sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Encode(_) => Failure::Divide,
            _ => Failure::Unknown,
        };
    };
    if code == STALE || code == "40001" || code == "40P01" || is_taken_order(source, &code) {
        return Failure::Again;
    }
    match code.get(..2) {
        Some("22" | "23") => Failure::Divide,
        // A read-only server, no connection or space left, a lock that is not to be had.
        Some("25" | "28" | "53" | "55") => Failure::Refused,
        // Permissions, missing tables, limits: definite, and not of one request.
        Some("0A" | "3D" | "42" | "54") => Failure::Fatal,
        _ => Failure::Unknown,
    }
}

/// Another lane or replica reserved for the same order in this moment: the next look finds its row.
fn is_taken_order(error: &sqlx::Error, code: &str) -> bool {
    code == "23505"
        && error
            .as_database_error()
            .is_some_and(|error| error.table() == Some("reservations"))
}

#[cfg(test)]
mod tests {
    use ferrocart_pg_kit::StoreResultExt;

    use super::*;

    #[test]
    fn what_has_no_sqlstate_is_unknown() {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        for error in [
            sqlx::Error::Io(broken),
            sqlx::Error::Protocol("cut off".to_owned()),
            sqlx::Error::WorkerCrashed,
        ] {
            let failed: Result<(), _> = Err(error);
            assert_eq!(classify(&failed.op("test").unwrap_err()), Failure::Unknown);
        }
    }
}
