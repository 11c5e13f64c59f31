//! Sagas in the hands of people: what does not get on is seen, tried again at once or called off.

use std::time::Duration;

use ferrocart_http_kit::{Caller, IdempotencyKey, Page, encode_cursor};
use ferrocart_pg_kit::idempotency::{self, Claim, RequestKey, StoredResponse};
use ferrocart_pg_kit::run_tx;
use ferrocart_types::SagaId;
use sqlx::PgConnection;

use super::App;
use crate::domain::CancelReason;
use crate::domain::saga::Kind;
use crate::error::ServiceError;
use crate::store::sagas::{self, SagaState};
use crate::views::SagaView;

/// A request does its work in one transaction: its key is free again right after.
const LOCK: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Steer {
    /// Try again now instead of later.
    Retry,
    /// Undo what was done.
    Cancel,
}

impl Steer {
    const fn verb(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }
}

/// The saga's view as it is stored under the key.
#[derive(Debug)]
pub(crate) struct Steered {
    pub(crate) body: Vec<u8>,
    pub(crate) replayed: bool,
}

impl App {
    /// Unfinished sagas, for support.
    pub(crate) async fn list_sagas(
        &self,
        states: &[SagaState],
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Page<SagaView>, ServiceError> {
        let mut conn = self.inner.pool.acquire().await?;
        let mut items = sagas::list(&mut conn, states, after, i64::from(limit) + 1).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = (items.len() > limit).then(|| {
            items.truncate(limit);
            items.last().map(|last| encode_cursor(&last.saga_id))
        });
        Ok(Page {
            items,
            next_cursor: next.flatten(),
        })
    }

    /// Retries or calls off a saga, once per key.
    pub(crate) async fn steer(
        &self,
        caller: &Caller,
        id: SagaId,
        steer: Steer,
        key: IdempotencyKey,
    ) -> Result<Steered, ServiceError> {
        let path = format!("/v1/admin/sagas/{id}/{}", steer.verb());
        let request = RequestKey::new(caller.scope(), key.0, &[b"POST", path.as_bytes()]);
        let steered = run_tx(&self.inner.pool, "saga.steer", |conn| {
            let (app, request) = (self.clone(), request.clone());
            Box::pin(async move { app.steer_in(conn, &request, id, steer).await })
        })
        .await?;
        self.inner.driver.wake_worker();
        if !steered.replayed {
            tracing::info!(saga.id = %id, verb = steer.verb(), caller = caller.scope(), "a saga was steered");
        }
        Ok(steered)
    }

    async fn steer_in(
        &self,
        conn: &mut PgConnection,
        request: &RequestKey,
        id: SagaId,
        steer: Steer,
    ) -> Result<Steered, ServiceError> {
        let now = self.inner.clock.now();
        match idempotency::claim(conn, request, id.as_uuid(), now, LOCK).await? {
            Claim::Fresh | Claim::Resume { .. } => {}
            Claim::Reused => return Err(ServiceError::KeyReused),
            Claim::InProgress { retry_after, .. } => return Err(ServiceError::InProgress(retry_after)),
            Claim::Replay { response, .. } => {
                return Ok(Steered {
                    body: response.body,
                    replayed: true,
                });
            }
        }
        let saga = sagas::lock(conn, id).await?.ok_or(ServiceError::SagaNotFound)?;
        if saga.state == SagaState::Done.as_str() {
            return Err(ServiceError::SagaEnded);
        }
        match steer {
            Steer::Retry => sagas::retry_now(conn, id, now).await?,
            // Shipments and refunds have moved goods or money: they are gone through with.
            Steer::Cancel if saga.kind != Kind::Checkout => {
                return Err(ServiceError::SagaNotCancellable(saga.kind));
            }
            Steer::Cancel => sagas::request_cancel(conn, id, CancelReason::SupportRequest, now).await?,
        }
        let saga = sagas::lock(conn, id).await?.ok_or(ServiceError::SagaNotFound)?;
        let body = serde_json::to_vec(&saga).map_err(crate::saga::SagaError::from)?;
        let response = StoredResponse { status: 202, body };
        idempotency::complete(conn, request, &response).await?;
        Ok(Steered {
            body: response.body,
            replayed: false,
        })
    }
}
