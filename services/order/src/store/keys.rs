//! Reading the idempotency keys, which are written by pg-kit.

use ferrocart_pg_kit::idempotency::StoredResponse;
use ferrocart_pg_kit::{StoreError, StoreResultExt};
use sqlx::{PgConnection, Row};

use super::corrupt;
use crate::store::sagas::KeyRef;

/// What stands under keys, without locking them: for each nothing, no answer yet, or the answer.
pub(crate) async fn peek(
    conn: &mut PgConnection,
    keys: &[KeyRef],
) -> Result<Vec<Option<Option<StoredResponse>>>, StoreError> {
    const OP: &str = "idempotency_keys.peek";
    let rows = sqlx::query(
        "SELECT place, response_status, response_body
         FROM UNNEST($1::text[], $2::text[]) WITH ORDINALITY AS asked (caller, key, place)
         JOIN idempotency_keys USING (caller, key)",
    )
    .bind(keys.iter().map(|key| key.caller.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.key.as_str()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .op(OP)?;
    let mut found = vec![None; keys.len()];
    for row in rows {
        let place: i64 = row.try_get("place").op(OP)?;
        let status: Option<i16> = row.try_get("response_status").op(OP)?;
        let body: Option<Vec<u8>> = row.try_get("response_body").op(OP)?;
        let answer = match (status, body) {
            (Some(status), Some(body)) => {
                let status = u16::try_from(status)
                    .map_err(|error| corrupt("idempotency_keys", "response_status", place, error))?;
                Some(StoredResponse { status, body })
            }
            _ => None,
        };
        let slot = usize::try_from(place - 1)
            .ok()
            .and_then(|index| found.get_mut(index));
        if let Some(slot) = slot {
            *slot = Some(answer);
        }
    }
    Ok(found)
}
