#![expect(
    unused_qualifications,
    reason = "of the code that utoipa writes for query parameters"
)]

use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{
    Caller, IdempotencyKey, Page, PageQuery, ProblemBody, Query, Role, detached, parse_id,
};
use ferrocart_types::SagaId;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::app::{App, Steer};
use crate::error::ServiceError;
use crate::store::sagas::SagaState;
use crate::views::SagaView;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SagaFilter {
    Stuck,
    Running,
    Compensating,
    /// All of these.
    Unfinished,
}

impl SagaFilter {
    const fn states(self) -> &'static [SagaState] {
        match self {
            Self::Stuck => &[SagaState::Stuck],
            Self::Running => &[SagaState::Running],
            Self::Compensating => &[SagaState::Compensating],
            Self::Unfinished => &SagaState::UNFINISHED,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SagaQuery {
    /// `stuck` by default.
    state: Option<SagaFilter>,
    /// How many items at most: 1 to 100, 20 by default.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List sagas
///
/// What is under way and does not get on, for support.
#[utoipa::path(
    get, path = "/v1/admin/sagas", operation_id = "list_sagas", tag = "admin", params(SagaQuery),
    responses(
        (status = 200, description = "A page of sagas, the oldest first", body = Page<SagaView>),
        (status = 400, description = "VALIDATION_ERROR", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody),
    ),
)]
pub(crate) async fn sagas(
    app: web::Data<App>,
    caller: Caller,
    query: Query<SagaQuery>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&[Role::Support, Role::Admin])?;
    let SagaQuery { state, limit, cursor } = query.0;
    let page = PageQuery { limit, cursor };
    let states = state.unwrap_or(SagaFilter::Stuck).states();
    let sagas = app
        .list_sagas(states, page.after::<SagaId>()?, page.limit()?)
        .await?;
    Ok(HttpResponse::Ok().json(sagas))
}

/// Retry a saga
///
/// Tries it at once instead of at its next turn.
#[utoipa::path(
    post, path = "/v1/admin/sagas/{saga_id}/retry", operation_id = "retry_saga", tag = "admin",
    params(("saga_id" = uuid::Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters; the same one with a retry")),
    responses(
        (status = 202, description = "It is tried now", body = SagaView,
         headers(("Idempotent-Replayed" = String, description = "true when this answers a repeated request"))),
        (status = 400, description = "INVALID_SAGA_ID, IDEMPOTENCY_KEY_MISSING", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody),
        (status = 404, description = "SAGA_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "SAGA_ENDED", body = ProblemBody),
        (status = 422, description = "IDEMPOTENCY_KEY_REUSED", body = ProblemBody),
    ),
)]
pub(crate) async fn retry(
    app: web::Data<App>,
    caller: Caller,
    key: IdempotencyKey,
    path: web::Path<String>,
) -> Result<HttpResponse, ServiceError> {
    steer(&app, caller, &path, key, Steer::Retry).await
}

/// Call a saga off
///
/// A checkout undoes what it has done, and its order is cancelled.
#[utoipa::path(
    post, path = "/v1/admin/sagas/{saga_id}/cancel", operation_id = "cancel_saga", tag = "admin",
    params(("saga_id" = uuid::Uuid, Path),
           ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters; the same one with a retry")),
    responses(
        (status = 202, description = "It is undone from its next step on", body = SagaView,
         headers(("Idempotent-Replayed" = String, description = "true when this answers a repeated request"))),
        (status = 400, description = "INVALID_SAGA_ID, IDEMPOTENCY_KEY_MISSING", body = ProblemBody),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody),
        (status = 403, description = "FORBIDDEN", body = ProblemBody),
        (status = 404, description = "SAGA_NOT_FOUND", body = ProblemBody),
        (status = 409, description = "SAGA_ENDED, SAGA_NOT_CANCELLABLE", body = ProblemBody),
        (status = 422, description = "IDEMPOTENCY_KEY_REUSED", body = ProblemBody),
    ),
)]
pub(crate) async fn cancel(
    app: web::Data<App>,
    caller: Caller,
    key: IdempotencyKey,
    path: web::Path<String>,
) -> Result<HttpResponse, ServiceError> {
    steer(&app, caller, &path, key, Steer::Cancel).await
}

async fn steer(
    app: &web::Data<App>,
    caller: Caller,
    path: &str,
    key: IdempotencyKey,
    steer: Steer,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&[Role::Admin])?;
    let (app, id) = (App::clone(app), parse_id::<SagaId>(path)?);
    let steered = detached("steer", async move { app.steer(&caller, id, steer, key).await }).await?;
    let mut answer = HttpResponse::Accepted();
    if steered.replayed {
        answer.insert_header(("Idempotent-Replayed", "true"));
    }
    Ok(answer.content_type("application/json").body(steered.body))
}
