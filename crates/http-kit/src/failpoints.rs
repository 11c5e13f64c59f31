//! Lets the chaos program set failpoints from outside. It is there only in builds that have failpoints and only
//! when `FAILPOINTS_TOKEN` is set, whose value the caller must know; everywhere else the path does not exist.

use std::sync::LazyLock;

use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use ferrocart_failpoint::{COMPILED_IN, Failpoints};
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::problem::Problem;

const PATH: &str = "/failpoints";
/// A shorter one could be guessed.
const TOKEN_BYTES_MIN: usize = 32;

static TOKEN: LazyLock<Option<String>> = LazyLock::new(|| {
    if !COMPILED_IN {
        return None;
    }
    let token = std::env::var_os("FAILPOINTS_TOKEN")?.into_string().ok()?;
    (token.len() >= TOKEN_BYTES_MIN).then_some(token)
});

/// Whether the path is this one, which checks its caller itself.
pub(crate) fn is_control(path: &str) -> bool {
    path == PATH && TOKEN.is_some()
}

pub(crate) fn routes(config: &mut ServiceConfig) {
    if TOKEN.is_none() {
        return;
    }
    config
        .route(PATH, web::get().to(seen))
        .route(PATH, web::put().to(arm))
        .route(PATH, web::delete().to(disarm));
}

fn check(request: &HttpRequest) -> Result<(), Problem> {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let known = given
        .zip(TOKEN.as_deref())
        .is_some_and(|(given, token)| bool::from(given.as_bytes().ct_eq(token.as_bytes())));
    if known {
        Ok(())
    } else {
        Err(Problem::unauthenticated("the failpoints' token is needed here"))
    }
}

/// What was reached and what went wrong, by point.
async fn seen(request: HttpRequest) -> Result<HttpResponse, Problem> {
    check(&request)?;
    let seen: Vec<_> = Failpoints::of_process()
        .seen()
        .into_iter()
        .map(|seen| json!({ "point": seen.point.to_string(), "reached": seen.reached, "fired": seen.fired }))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "points": seen })))
}

/// Sets the plans of the body, a text as in `FAILPOINTS`.
async fn arm(request: HttpRequest, body: String) -> Result<HttpResponse, Problem> {
    check(&request)?;
    match Failpoints::of_process().arm_text(&body) {
        Ok(armed) => Ok(HttpResponse::Ok().json(json!({ "armed": armed }))),
        Err(error) => Err(Problem::invalid_field("body", error.to_string())),
    }
}

async fn disarm(request: HttpRequest) -> Result<HttpResponse, Problem> {
    check(&request)?;
    Failpoints::of_process().disarm();
    Ok(HttpResponse::NoContent().finish())
}
