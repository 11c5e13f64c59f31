use actix_web::{HttpRequest, HttpResponse, web};
use ferrocart_http_kit::{Problem, Role};
use serde::Deserialize;

use super::forward::{outgoing_headers, read_small, send};
use super::gate::{Admitted, Edge};
use super::table::Service;
use super::upstream::OutgoingBody;

/// Longer bodies are no merge requests, in bytes.
const BODY_BYTES_MAX: usize = 8 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    guest_token: String,
}

/// `POST /v1/cart/merge`: the guest's token proves to the gateway whose cart it is; the cart service is
/// told the session in the internal token, and needs no key of ours.
pub(crate) async fn merge_cart(
    request: HttpRequest,
    payload: web::Payload,
    admitted: web::ReqData<Admitted>,
    edge: web::Data<Edge>,
) -> Result<HttpResponse, Problem> {
    let claims = admitted.claims().ok_or_else(Problem::internal)?;
    let body = read_small(&request, payload, BODY_BYTES_MAX).await?;
    let merge: Merge = serde_json::from_slice(&body).map_err(|error| {
        let field = if error.to_string().starts_with("missing field") {
            "guest_token"
        } else {
            "body"
        };
        Problem::invalid_field(field, error)
    })?;
    let guest = edge
        .tokens
        .check(&merge.guest_token)
        .await
        .map_err(|refused| Problem::invalid_field("guest_token", refused))?;
    if !guest.has_role(Role::Guest) {
        return Err(Problem::invalid_field(
            "guest_token",
            "is not the token of a guest",
        ));
    }
    let token = edge.internal.token_with_guest(Service::Cart, claims, guest.sub)?;
    let headers = outgoing_headers(&request, Some(&token))?;
    send(
        Service::Cart,
        &request,
        headers,
        OutgoingBody::Whole(body),
        (admitted.rule, &edge),
    )
    .await
}
