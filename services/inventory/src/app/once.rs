//! One effect and one answer for each Idempotency-Key.

use std::time::Duration;

use ferrocart_pg_kit::idempotency::{self, Claim, RequestKey, StoredResponse};
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{SharedClock, Timestamp};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::ServiceError;

/// How long a claimed key keeps others out, should its owner die between the claim and the answer.
const KEY_LOCK: Duration = Duration::from_secs(30);

/// What a request answered: now, or the first time.
#[derive(Debug)]
pub enum Answered {
    Fresh(StoredResponse),
    Replayed(StoredResponse),
}

/// Claims the key for what `conn`'s transaction is about to do. Answers the first answer if there is one.
pub(super) async fn claim(
    conn: &mut PgConnection,
    key: &RequestKey,
    resource: Uuid,
    now: Timestamp,
) -> Result<Option<StoredResponse>, ServiceError> {
    match claim_resource(conn, key, resource, now).await? {
        Claimed::Mine(_) => Ok(None),
        Claimed::Answered(response) => Ok(Some(response)),
    }
}

enum Claimed {
    /// To be done, on this resource.
    Mine(Uuid),
    Answered(StoredResponse),
}

async fn claim_resource(
    conn: &mut PgConnection,
    key: &RequestKey,
    resource: Uuid,
    now: Timestamp,
) -> Result<Claimed, ServiceError> {
    match idempotency::claim(conn, key, resource, now, KEY_LOCK).await? {
        Claim::Fresh => Ok(Claimed::Mine(resource)),
        Claim::Resume { resource_id } => Ok(Claimed::Mine(resource_id)),
        Claim::Replay { response, .. } => Ok(Claimed::Answered(response)),
        Claim::InProgress { retry_after, .. } => Err(ServiceError::InProgress(retry_after)),
        Claim::Reused => Err(ServiceError::KeyReused),
    }
}

/// Does what is idempotent by itself and is committed elsewhere, such as by a batch of many requests, and
/// keeps its answer under the key. Cut off in between, it is done again by the next request with the
/// key. A refusal had no effect and is not kept.
pub(crate) async fn once<W>(
    pool: &PgPool,
    clock: &SharedClock,
    key: &RequestKey,
    resource: Uuid,
    work: W,
) -> Result<Answered, ServiceError>
where
    W: Future<Output = Result<StoredResponse, ServiceError>> + Send,
{
    once_for(pool, clock, key, resource, |_| work).await
}

/// Like [`once`], for work on a resource whose id is made with the request: a request that was cut off is
/// done again on the id that it made first.
pub(crate) async fn once_for<F, W>(
    pool: &PgPool,
    clock: &SharedClock,
    key: &RequestKey,
    resource: Uuid,
    work: F,
) -> Result<Answered, ServiceError>
where
    F: FnOnce(Uuid) -> W + Send,
    W: Future<Output = Result<StoredResponse, ServiceError>> + Send,
{
    let now = clock.now();
    let claimed = run_tx(pool, "key.claim", |conn| {
        let key = key.clone();
        Box::pin(async move { claim_resource(conn, &key, resource, now).await })
    })
    .await?;
    let resource = match claimed {
        Claimed::Answered(response) => return Ok(Answered::Replayed(response)),
        Claimed::Mine(resource) => resource,
    };
    let outcome = work(resource).await;
    let mut conn = pool.acquire().await?;
    match outcome {
        Ok(response) => {
            idempotency::complete(&mut conn, key, &response).await?;
            Ok(Answered::Fresh(response))
        }
        Err(refused) => {
            if let Err(error) = idempotency::release(&mut conn, key).await {
                tracing::warn!(%error, "a key stays locked for a while");
            }
            Err(refused)
        }
    }
}
