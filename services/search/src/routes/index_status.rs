use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Problem, ProblemBody, Role};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{AlreadyRebuilding, Finder, Followed};
use crate::engine::EngineError;
use crate::error::ServiceError;

/// How far an index is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IndexStatus {
    /// Names the index; an emptied folder or a rebuild gets another.
    index_id: String,
    /// Changes with every commit.
    generation: String,
    /// Products that can be found.
    documents: u64,
    /// Events that were published and are not yet indexed; null while unknown.
    events_behind: Option<u64>,
    caught_up: bool,
    /// The index that is being filled to take this one's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    rebuilding: Option<Box<IndexStatus>>,
}

impl IndexStatus {
    async fn of(index: &Followed) -> Result<Self, EngineError> {
        let events_behind = index.backlog.events_behind();
        Ok(Self {
            index_id: index.engine.index_id().to_owned(),
            generation: index.engine.generation(),
            documents: index.engine.documents().await?,
            events_behind,
            caught_up: events_behind == Some(0),
            rebuilding: None,
        })
    }
}

async fn status(finder: &Finder) -> Result<IndexStatus, ServiceError> {
    let mut status = IndexStatus::of(&finder.serving().current()).await?;
    if let Some(next) = finder.serving().filling() {
        status.rebuilding = Some(Box::new(IndexStatus::of(&next).await?));
    }
    Ok(status)
}

/// Ask how far the index is
#[utoipa::path(
    get,
    path = "/internal/v1/index",
    tag = "internal",
    responses(
        (status = 200, description = "The index", body = IndexStatus),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN: for services alone", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn index_status(finder: web::Data<Finder>) -> Result<HttpResponse, ServiceError> {
    Ok(HttpResponse::Ok().json(status(&finder).await?))
}

/// Look at the index
#[utoipa::path(
    get,
    path = "/v1/admin/search/index", operation_id = "read_search_index",
    tag = "admin",
    responses(
        (status = 200, description = "The index, and the one that is being filled to take its place", body = IndexStatus),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn index(finder: web::Data<Finder>, caller: Caller) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&[Role::Support, Role::Admin])?;
    Ok(HttpResponse::Ok().json(status(&finder).await?))
}

/// Build the index anew
///
/// A new index is filled from the beginning of the topics while the old one goes on to answer; when it has
/// caught up it takes over. With the embedded engine each replica has an index of its own, and the one that
/// is asked rebuilds its own.
#[utoipa::path(
    post,
    path = "/v1/admin/search/index/rebuild", operation_id = "rebuild_search_index",
    tag = "admin",
    responses(
        (status = 202, description = "It is being built"),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "REBUILD_IN_PROGRESS", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn rebuild(finder: web::Data<Finder>, caller: Caller) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&[Role::Admin])?;
    finder.serving().ask_for_rebuild().map_err(|AlreadyRebuilding| {
        Problem::new(
            StatusCode::CONFLICT,
            "REBUILD_IN_PROGRESS",
            "the index is being built anew already",
        )
    })?;
    Ok(HttpResponse::Accepted().finish())
}
