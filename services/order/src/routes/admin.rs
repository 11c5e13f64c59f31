#![expect(
    unused_qualifications,
    reason = "of the code that utoipa writes for query parameters"
)]

use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Page, PageQuery, ProblemBody, Query, Role};
use ferrocart_types::SagaId;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::error::ServiceError;
use crate::views::SagaView;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SagaFilter {
    Stuck,
    Unfinished,
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
    get, path = "/v1/admin/sagas", tag = "admin", params(SagaQuery),
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
    let only_stuck = state != Some(SagaFilter::Unfinished);
    let sagas = app
        .list_sagas(only_stuck, page.after::<SagaId>()?, page.limit()?)
        .await?;
    Ok(HttpResponse::Ok().json(sagas))
}
