use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Problem, ProblemBody, Query};
use ferrocart_pg_kit::run_tx;
use serde::Deserialize;

use super::State;
use crate::domain::{Channel, Kind};
use crate::error::NotificationError;
use crate::store;

const HTML: &str = "text/html; charset=utf-8";
/// Asks before it does something: programs that look into e-mails follow every link. The form goes to where it came from.
const QUESTION: &str = "<!doctype html><html><head><meta charset=\"utf-8\"><title>Ferrocart</title>\
    <meta name=\"viewport\" content=\"width=device-width\"></head><body><form method=\"post\">\
    <p>Stop e-mails of this kind? / Keine solchen E-Mails mehr?</p>\
    <button>Unsubscribe / Abbestellen</button></form></body></html>";
const DONE: &str = "<!doctype html><html><head><meta charset=\"utf-8\"><title>Ferrocart</title></head>\
    <body><p>Done. / Erledigt.</p></body></html>";

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Link {
    /// From the link in the e-mail.
    token: String,
}

/// The page behind the link to unsubscribe in an e-mail; it asks, and changes nothing.
#[utoipa::path(get, path = "/v1/notifications/unsubscribe", operation_id = "show_unsubscribe", tag = "notification", params(Link),
    responses((status = 200, body = String, content_type = "text/html"), (status = 400, body = ProblemBody)))]
pub(crate) async fn ask(
    Query(link): Query<Link>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    known(&state, &link.token)?;
    Ok(HttpResponse::Ok().content_type(HTML).body(QUESTION))
}

/// Stops one kind of e-mail, without a login, as e-mail programs do it (RFC 8058). The body is not looked at.
#[utoipa::path(post, path = "/v1/notifications/unsubscribe", tag = "notification", params(Link),
    responses((status = 200, body = String, content_type = "text/html"), (status = 400, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(crate) async fn unsubscribe(
    Query(link): Query<Link>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let (customer, kind) = known(&state, &link.token)?;
    let now = state.clock.now();
    run_tx(&state.pool, "unsubscribe", |conn| {
        Box::pin(async move { store::switch_off(conn, customer, Channel::Email, kind, now).await })
    })
    .await?;
    Ok(HttpResponse::Ok().content_type(HTML).body(DONE))
}

fn known(state: &State, token: &str) -> Result<(ferrocart_types::UserId, Kind), Problem> {
    let known = state.unsubscribe.read(token);
    known.ok_or_else(|| Problem::invalid_field("token", "is not from one of our e-mails"))
}
