//! Reading the idempotency keys, which are written by pg-kit.

use ferrocart_pg_kit::idempotency::StoredResponse;
use ferrocart_pg_kit::{StoreError, StoreResultExt};
use sqlx::{PgConnection, Row};

use super::corrupt;
use crate::store::sagas::KeyRef;

/// What stands under a key, without locking it: nothing, no answer yet, or the answer.
pub(crate) async fn peek(
    conn: &mut PgConnection,
    key: &KeyRef,
) -> Result<Option<Option<StoredResponse>>, StoreError> {
    const OP: &str = "idempotency_keys.peek";
    let row = sqlx::query(
        "SELECT response_status, response_body FROM idempotency_keys WHERE caller = $1 AND key = $2",
    )
    .bind(&key.caller)
    .bind(&key.key)
    .fetch_optional(conn)
    .await
    .op(OP)?;
    let Some(row) = row else { return Ok(None) };
    let status: Option<i16> = row.try_get("response_status").op(OP)?;
    let body: Option<Vec<u8>> = row.try_get("response_body").op(OP)?;
    match (status, body) {
        (Some(status), Some(body)) => {
            let status = u16::try_from(status)
                .map_err(|error| corrupt("idempotency_keys", "response_status", &key.key, error))?;
            Ok(Some(Some(StoredResponse { status, body })))
        }
        _ => Ok(Some(None)),
    }
}
