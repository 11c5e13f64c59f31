use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, ProblemBody};
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{EndpointId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{not_found, own_endpoint};
use crate::error::NotificationError;
use crate::routes::State;
use crate::store;
use crate::webhook::Secret;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RotatedSecret {
    endpoint_id: EndpointId,
    /// Shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
    /// Until then messages carry a signature by the secret before as well.
    #[schema(value_type = String, format = DateTime)]
    previous_until: Timestamp,
}

/// Gives the endpoint a new secret. For a day messages are signed with both, so that a receiver can change over.
#[utoipa::path(post, path = "/v1/webhooks/endpoints/{endpoint_id}/rotate", tag = "webhooks",
    security(("bearer" = [])), params(("endpoint_id" = EndpointId, Path)),
    responses((status = 200, body = RotatedSecret), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(crate) async fn rotate_secret(
    caller: Caller,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let endpoint = own_endpoint(&caller, &state, &id).await?;
    let secret = Secret::generate()?;
    let sealed = state.safe.seal(endpoint.id, &secret)?;
    let now = state.clock.now();
    let previous_until = now + state.rotation;
    let (merchant, id) = (endpoint.merchant_id, endpoint.id);
    let rotated = run_tx(&state.pool, "rotate_secret", |conn| {
        let sealed = sealed.clone();
        Box::pin(async move { store::rotate_secret(conn, merchant, id, &sealed, previous_until, now).await })
    })
    .await?;
    if !rotated {
        return Err(not_found().into());
    }
    Ok(HttpResponse::Ok().json(RotatedSecret {
        endpoint_id: id,
        secret: secret.reveal(),
        previous_until,
    }))
}
