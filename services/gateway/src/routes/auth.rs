use actix_web::{HttpRequest, HttpResponse, web};
use ferrocart_http_kit::{Json, ProblemBody};
use ferrocart_types::Email;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::oauth::TokenForm;
use crate::app::{AccessTokens, IssuedTokens, Origin, Sessions};
use crate::edge::Edge;
use crate::error::ServiceError;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogIn {
    #[garde(length(max = 254))]
    #[schema(format = "email", example = "ada@example.com")]
    email: String,
    #[garde(length(chars, max = 128))]
    #[schema(format = "password", example = "correct horse battery")]
    password: String,
    /// The last one that this device had, good or not, if it has any: while others guess at the password, the device is
    /// known by it and gets in all the same. It is not used up.
    #[garde(length(max = 256))]
    refresh_token: Option<String>,
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshToken {
    #[garde(length(max = 256))]
    refresh_token: String,
}

/// RFC 6749, section 5.1.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenAnswer {
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token ends.
    expires_in: u32,
    /// Good for one refresh, which gives the next one. A machine gets none: it has its key.
    #[schema(required = false)]
    refresh_token: String,
}

fn answer(tokens: IssuedTokens) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .json(TokenAnswer {
            access_token: tokens.access_token,
            token_type: "Bearer",
            expires_in: tokens.expires_in,
            refresh_token: tokens.refresh_token,
        })
}

/// Log in
///
/// People send JSON. OAuth 2.0 clients send a form: `client_credentials` for an API key (the answer has no refresh
/// token), `refresh_token`, or `password` where the shop has turned that on; their errors have RFC 6749's `error` as well. Too many wrong passwords for an account are 429.
#[utoipa::path(post, path = "/v1/auth/token", tag = "auth", request_body(content((LogIn = "application/json"), (TokenForm = "application/x-www-form-urlencoded"))), security(()), responses(
    (status = 400, description = "VALIDATION_ERROR, OAUTH_ERROR", body = ProblemBody, content_type = "application/problem+json"),
    (status = 200, description = "a new login", body = TokenAnswer),
    (status = 401, description = "INVALID_CREDENTIALS: the e-mail or the password is wrong; INVALID_CLIENT: the key is", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "OVERLOADED: too many logins at once", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn log_in(
    request: HttpRequest,
    edge: web::Data<Edge>,
    sessions: web::Data<Sessions>,
    body: Json<LogIn>,
) -> Result<HttpResponse, ServiceError> {
    let body = body.value;
    // What is no address has no account; saying so would cost less time than a wrong password does.
    let email = Email::parse(&body.email).ok();
    let from = Origin {
        address: edge.address(request.peer_addr(), request.headers()),
        refresh_token: body.refresh_token,
    };
    Ok(answer(sessions.log_in(email, &body.password, &from).await?))
}

/// Get a new pair of tokens for a refresh token
///
/// The refresh token is used up. Using it again ends the whole session.
#[utoipa::path(post, path = "/v1/auth/refresh", operation_id = "refresh_tokens", tag = "auth", request_body = RefreshToken, security(()), responses(
    (status = 200, description = "the next pair", body = TokenAnswer),
    (status = 401, description = "INVALID_REFRESH_TOKEN", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn refresh(
    sessions: web::Data<Sessions>,
    body: Json<RefreshToken>,
) -> Result<HttpResponse, ServiceError> {
    let sessions = sessions.into_inner();
    let token = body.value.refresh_token;
    // A client that hangs up must not leave its token half used.
    let work = async move { sessions.refresh(&token).await };
    Ok(answer(ferrocart_http_kit::detached("refresh", work).await?))
}

/// End the login that a refresh token belongs to
#[utoipa::path(post, path = "/v1/auth/logout", tag = "auth", request_body = RefreshToken, security(()), responses(
    (status = 204, description = "logged out; also when the token was not known"),
))]
pub(crate) async fn log_out(
    sessions: web::Data<Sessions>,
    body: Json<RefreshToken>,
) -> Result<HttpResponse, ServiceError> {
    let sessions = sessions.into_inner();
    let token = body.value.refresh_token;
    let work = async move { sessions.log_out(&token).await };
    ferrocart_http_kit::detached("log_out", work).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Begin a guest session
#[utoipa::path(post, path = "/v1/auth/guest", operation_id = "begin_guest_session", tag = "auth", security(()), responses(
    (status = 200, description = "tokens of a guest, who can fill a cart and check out", body = TokenAnswer),
))]
pub(crate) async fn guest(sessions: web::Data<Sessions>) -> Result<HttpResponse, ServiceError> {
    Ok(answer(sessions.guest().await?))
}

/// The public keys of access tokens
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "read_public_keys", tag = "auth", security(()), responses(
    (status = 200, description = "a JWK set (RFC 7517)", body = serde_json::Value),
))]
pub(crate) async fn jwks(tokens: web::Data<AccessTokens>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "public, max-age=300"))
        .json(tokens.jwks())
}
