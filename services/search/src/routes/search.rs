use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{ProblemBody, Query};

use super::answer::SearchAnswer;
use super::parameters::SearchParameters;
use crate::app::Finder;
use crate::error::ServiceError;

/// Find products
#[utoipa::path(
    get,
    path = "/v1/search", operation_id = "search_products",
    tag = "search",
    params(SearchParameters),
    responses(
        (status = 200, description = "What was found. `Cache-Status` tells whether it was found before", body = SearchAnswer),
        (status = 400, description = "VALIDATION_ERROR: a parameter is unknown or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "UNAUTHENTICATED", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "OVERLOADED: too many searches at once", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn search(
    finder: web::Data<Finder>,
    parameters: Query<SearchParameters>,
) -> Result<HttpResponse, ServiceError> {
    let answer = finder.find(parameters.0.parse()?).await?;
    let cache_status = if answer.cached {
        "ferrocart-search; hit"
    } else {
        "ferrocart-search; fwd=miss"
    };
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("cache-status", cache_status))
        .body(answer.json))
}
