use actix_web::{HttpResponse, web};
// Under its own name it meets the `Query` that utoipa's macro brings along.
use ferrocart_http_kit::{ProblemBody, Query as UrlQuery};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::parameters::text;
use crate::app::Finder;
use crate::domain::Suggestion;
use crate::error::ServiceError;

const SUGGESTIONS_MAX: usize = 10;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuggestParameters {
    /// What has been typed so far.
    #[param(max_length = 200, example = "wat")]
    q: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Suggestions {
    /// At most 10: brands first, then titles.
    items: Vec<Suggestion>,
}

/// Complete what is being typed
#[utoipa::path(
    get,
    path = "/v1/search/suggest",
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
    query: UrlQuery<SuggestParameters>,
) -> Result<HttpResponse, ServiceError> {
    let typed = text("q", &query.0.q)?;
    let items = finder.engine().suggest(typed, SUGGESTIONS_MAX).await?;
    Ok(HttpResponse::Ok().json(Suggestions { items }))
}
