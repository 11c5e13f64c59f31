//! Idempotency keys: one effect and one answer per caller and key, however often it is sent.
//!
//! [`claim`] and [`complete`] run in the transactions that begin and end the effect. A claim names
//! the resource (such as the order) that the request creates; a retry after a crash is told that
//! same id, and resumes instead of starting again.

use std::collections::HashSet;
use std::time::Duration;

use ferrocart_types::Timestamp;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::error::{StoreError, StoreResultExt};

/// A key in the scope of its caller, with the hash of what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    caller: String,
    key: String,
    request_hash: [u8; 32],
}

impl RequestKey {
    /// `request` is all that makes the request what it is: method, path and body.
    pub fn new(caller: impl Into<String>, key: impl Into<String>, request: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in request {
            // With its length in front no two lists of parts look alike.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        Self {
            caller: caller.into(),
            key: key.into(),
            request_hash: hash.finalize().into(),
        }
    }

    pub fn caller(&self) -> &str {
        &self.caller
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn request_hash(&self) -> &[u8] {
        &self.request_hash
    }
}

/// An answer as it was given first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    pub status: u16,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The first request with this key: do it, for the resource that was offered.
    Fresh,
    /// An earlier request began and did not end: go on with its resource.
    Resume { resource_id: Uuid },
    /// Answered before.
    Replay {
        resource_id: Uuid,
        response: StoredResponse,
    },
    /// Another request with this key is being worked on.
    InProgress {
        resource_id: Uuid,
        retry_after: Duration,
    },
    /// The key was used for another request.
    Reused,
}

/// Claims the key until `now + lock_for`. A request that neither completes nor releases it by then is
/// taken to be dead, and the next one resumes.
pub async fn claim(
    conn: &mut PgConnection,
    request: &RequestKey,
    resource_id: Uuid,
    now: Timestamp,
    lock_for: Duration,
) -> Result<Claim, StoreError> {
    let locked_until = now + lock_for;
    let inserted = sqlx::query(
        "INSERT INTO idempotency_keys (caller, key, request_hash, resource_id, locked_until, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(&request.caller)
    .bind(&request.key)
    .bind(request.request_hash.as_slice())
    .bind(resource_id)
    .bind(locked_until)
    .bind(now)
    .execute(&mut *conn)
    .await
    .op("idempotency.claim")?;
    if inserted.rows_affected() == 1 {
        return Ok(Claim::Fresh);
    }
    let found = look_up(conn, request, now).await?;
    if let Claim::Resume { .. } = found {
        sqlx::query("UPDATE idempotency_keys SET locked_until = $3 WHERE caller = $1 AND key = $2")
            .bind(&request.caller)
            .bind(&request.key)
            .bind(locked_until)
            .execute(conn)
            .await
            .op("idempotency.resume")?;
    }
    Ok(found)
}

/// Claims the keys of many requests, each for the resource beside it, in one statement. Answers for each
/// whether it is the first with its key; what stands under the others' keys is for [`claim`] to find out.
pub async fn claim_many(
    conn: &mut PgConnection,
    requests: &[(&RequestKey, Uuid)],
    now: Timestamp,
    lock_for: Duration,
) -> Result<Vec<bool>, StoreError> {
    const OP: &str = "idempotency.claim_many";
    // In one order everywhere: two batches that share keys then never wait for each other.
    let mut sorted = requests.to_vec();
    sorted.sort_by(|(a, _), (b, _)| (&a.caller, &a.key).cmp(&(&b.caller, &b.key)));
    let callers: Vec<&str> = sorted
        .iter()
        .map(|(request, _)| request.caller.as_str())
        .collect();
    let keys: Vec<&str> = sorted.iter().map(|(request, _)| request.key.as_str()).collect();
    let hashes: Vec<&[u8]> = sorted
        .iter()
        .map(|(request, _)| request.request_hash.as_slice())
        .collect();
    let resources: Vec<Uuid> = sorted.iter().map(|(_, resource)| *resource).collect();
    let rows = sqlx::query(
        "INSERT INTO idempotency_keys (caller, key, request_hash, resource_id, locked_until, created_at)
         SELECT caller, key, request_hash, resource_id, $5, $6
         FROM UNNEST($1::text[], $2::text[], $3::bytea[], $4::uuid[])
              AS request (caller, key, request_hash, resource_id)
         ON CONFLICT DO NOTHING RETURNING caller, key",
    )
    .bind(callers)
    .bind(keys)
    .bind(hashes)
    .bind(resources)
    .bind(now + lock_for)
    .bind(now)
    .fetch_all(conn)
    .await
    .op(OP)?;
    let mut inserted = HashSet::with_capacity(rows.len());
    for row in &rows {
        let caller: &str = row.try_get("caller").op(OP)?;
        let key: &str = row.try_get("key").op(OP)?;
        inserted.insert((caller, key));
    }
    // Of equal requests in one batch the first that was sorted was inserted; the sort keeps their order.
    Ok(requests
        .iter()
        .map(|(request, _)| inserted.remove(&(request.caller.as_str(), request.key.as_str())))
        .collect())
}

/// What stands under the key, which must exist; locks the row until the transaction ends.
async fn look_up(conn: &mut PgConnection, request: &RequestKey, now: Timestamp) -> Result<Claim, StoreError> {
    const OP: &str = "idempotency.look_up";
    let row = sqlx::query(
        "SELECT request_hash, resource_id, locked_until, response_status, response_body
         FROM idempotency_keys WHERE caller = $1 AND key = $2 FOR UPDATE",
    )
    .bind(&request.caller)
    .bind(&request.key)
    .fetch_one(conn)
    .await
    .op(OP)?;
    let request_hash: Vec<u8> = row.try_get("request_hash").op(OP)?;
    let resource_id: Uuid = row.try_get("resource_id").op(OP)?;
    let locked_until: Option<Timestamp> = row.try_get("locked_until").op(OP)?;
    let status: Option<i16> = row.try_get("response_status").op(OP)?;
    let body: Option<Vec<u8>> = row.try_get("response_body").op(OP)?;
    if request_hash != request.request_hash {
        return Ok(Claim::Reused);
    }
    Ok(
        match (
            status.and_then(|status| u16::try_from(status).ok()),
            body,
            locked_until,
        ) {
            (Some(status), Some(body), _) => Claim::Replay {
                resource_id,
                response: StoredResponse { status, body },
            },
            (_, _, Some(until)) if until > now => {
                let retry_after = (until - now).to_std().unwrap_or_default();
                Claim::InProgress {
                    resource_id,
                    retry_after,
                }
            }
            _ => Claim::Resume { resource_id },
        },
    )
}

/// Stores the answer. Never store a 5xx: the caller's retry is to resume.
pub async fn complete(
    conn: &mut PgConnection,
    request: &RequestKey,
    response: &StoredResponse,
) -> Result<(), StoreError> {
    let status = i16::try_from(response.status).unwrap_or(i16::MAX);
    let done = sqlx::query(
        "UPDATE idempotency_keys SET response_status = $3, response_body = $4, locked_until = NULL
         WHERE caller = $1 AND key = $2",
    )
    .bind(&request.caller)
    .bind(&request.key)
    .bind(status)
    .bind(response.body.as_slice())
    .execute(conn)
    .await
    .op("idempotency.complete")?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::RowCount {
            operation: "idempotency.complete",
            expected: 1,
            actual: done.rows_affected(),
        })
    }
}

/// Stores the answers to many requests, in one statement. Answers how many of their keys were still there.
pub async fn complete_many(
    conn: &mut PgConnection,
    answers: &[(RequestKey, StoredResponse)],
) -> Result<u64, StoreError> {
    let callers: Vec<&str> = answers
        .iter()
        .map(|(request, _)| request.caller.as_str())
        .collect();
    let keys: Vec<&str> = answers.iter().map(|(request, _)| request.key.as_str()).collect();
    let statuses: Vec<i16> = answers
        .iter()
        .map(|(_, response)| i16::try_from(response.status).unwrap_or(i16::MAX))
        .collect();
    let bodies: Vec<&[u8]> = answers
        .iter()
        .map(|(_, response)| response.body.as_slice())
        .collect();
    let done = sqlx::query(
        "UPDATE idempotency_keys AS stored
         SET response_status = answer.status, response_body = answer.body, locked_until = NULL
         FROM UNNEST($1::text[], $2::text[], $3::smallint[], $4::bytea[]) AS answer (caller, key, status, body)
         WHERE stored.caller = answer.caller AND stored.key = answer.key",
    )
    .bind(callers)
    .bind(keys)
    .bind(statuses)
    .bind(bodies)
    .execute(conn)
    .await
    .op("idempotency.complete_many")?;
    Ok(done.rows_affected())
}

/// Gives an unfinished key up, so that a retry resumes at once instead of after the lock's end.
pub async fn release(conn: &mut PgConnection, request: &RequestKey) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE idempotency_keys SET locked_until = NULL
         WHERE caller = $1 AND key = $2 AND response_status IS NULL",
    )
    .bind(&request.caller)
    .bind(&request.key)
    .execute(conn)
    .await
    .op("idempotency.release")?;
    Ok(())
}

/// Forgets keys older than `until`, at most `limit` a call. Answers how many went.
pub async fn forget(conn: &mut PgConnection, until: Timestamp, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM idempotency_keys WHERE (caller, key) IN
           (SELECT caller, key FROM idempotency_keys WHERE created_at < $1 LIMIT $2)",
    )
    .bind(until)
    .bind(limit)
    .execute(conn)
    .await
    .op("idempotency.forget")?;
    Ok(done.rows_affected())
}
