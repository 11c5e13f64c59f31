//! The bank's page: the customer approves or refuses a payment that requires action.

use super::call::Write;
use super::{App, problem};
use crate::domain::intent::{Intent, IntentState};
use crate::ledger::{Begun, Executed};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::{HttpResponse, web};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    result: Choice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Approve,
    Refuse,
}

fn find(app: &App, id: &str) -> Option<Intent> {
    app.ledger.tables().intents.get(id).cloned()
}

pub(crate) async fn page(id: web::Path<String>, app: web::Data<App>) -> HttpResponse {
    match find(&app, &id) {
        None => not_found(),
        Some(intent) if intent.state == IntentState::RequiresAction => html(200, &question(&intent)),
        Some(intent) => html(200, &outcome(&intent)),
    }
}

pub(crate) async fn decide(
    id: web::Path<String>,
    decision: web::Form<Decision>,
    app: web::Data<App>,
) -> HttpResponse {
    let approved = decision.result == Choice::Approve;
    if find(&app, &id).is_none() {
        return not_found();
    }
    let write = Write::Authenticate {
        id: id.clone(),
        approved,
    };
    let end = match app.ledger.begin(write, None, false, &app.request_id()) {
        Ok(Begun::Executed(Executed { end, .. })) => end,
        Ok(Begun::Replay(_)) => app.ledger.journal.end(),
        Err(error) => return problem(&error),
    };
    if let Err(error) = app.ledger.journal.durable(end).await {
        return problem(&error.into());
    }
    let Some(intent) = find(&app, &id) else {
        return not_found();
    };
    // A second decision changes nothing; the browser hears what stands.
    let approved = matches!(
        intent.state,
        IntentState::RequiresCapture { .. } | IntentState::Succeeded { .. }
    );
    match app.ledger.viewer().return_location(&intent, approved) {
        Some(location) => HttpResponse::SeeOther()
            .insert_header((LOCATION, location))
            .finish(),
        None => html(200, &outcome(&intent)),
    }
}

fn not_found() -> HttpResponse {
    html(404, "<h1>No such payment</h1>")
}

// Only numbers, ids of our own making and currency codes are put into the pages.
fn question(intent: &Intent) -> String {
    format!(
        "<h1>Approve this payment?</h1>\n<p>{} {} (minor units)</p>\n<form method=\"post\">\n\
         <button name=\"result\" value=\"approve\">Approve</button>\n\
         <button name=\"result\" value=\"refuse\">Refuse</button>\n</form>",
        intent.amount.minor(),
        intent.currency.as_str().to_uppercase(),
    )
}

fn outcome(intent: &Intent) -> String {
    format!(
        "<h1>Nothing to approve</h1>\n<p>The payment {} is {}.</p>",
        intent.id,
        intent.state.name()
    )
}

fn html(status: u16, body: &str) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, "default-src 'none'"))
        .body(format!("<!doctype html>\n<title>Sandbox bank</title>\n{body}\n"))
}
