use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{ProblemBody, Query};
use serde::Serialize;
use utoipa::ToSchema;

use super::parameters::{SuggestParameters, text};
use crate::app::Finder;
use crate::domain::Suggestion;
use crate::error::ServiceError;

const SUGGESTIONS_MAX: usize = 10;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Suggestions {
    /// At most 10: brands first, then titles.
    items: Vec<Suggestion>,
}

/// Complete what is being typed
#[utoipa::path(
    get,
    path = "/v1/search/suggest", operation_id = "suggest_searches",
    tag = "search",
    params(SuggestParameters),
    responses(
        (status = 200, description = "Titles and brands that go on like this", body = Suggestions),
        (status = 400, description = "VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "OVERLOADED: too many searches at once", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn suggest(
    finder: web::Data<Finder>,
    query: Query<SuggestParameters>,
) -> Result<HttpResponse, ServiceError> {
    let typed = text("q", &query.0.q)?;
    let items = finder.serving().engine().suggest(typed, SUGGESTIONS_MAX).await?;
    Ok(HttpResponse::Ok().json(Suggestions { items }))
}
