use actix_web::{HttpResponse, web};
use ferrocart_http_kit::ProblemBody;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Finder;
use crate::error::ServiceError;
use crate::workers::Backlog;

/// How far the index is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IndexStatus {
    /// Names the index; an emptied folder gets another.
    index_id: String,
    /// Changes with every commit.
    generation: String,
    /// Products that can be found.
    documents: u64,
    /// Events that were published and are not yet indexed; null while unknown.
    events_behind: Option<u64>,
    caught_up: bool,
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
pub(crate) async fn index_status(
    finder: web::Data<Finder>,
    backlog: web::Data<Backlog>,
) -> Result<HttpResponse, ServiceError> {
    let events_behind = backlog.events_behind();
    Ok(HttpResponse::Ok().json(IndexStatus {
        index_id: finder.engine().index_id().to_owned(),
        generation: finder.engine().generation(),
        documents: finder.engine().documents().await?,
        events_behind,
        caught_up: events_behind == Some(0),
    }))
}
