//! `POST /v1/auth/token` as OAuth 2.0 writes it (RFC 6749): a form in, and errors that have an `error` member beside
//! what all our problems have.

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferrocart_http_kit::Problem;
use ferrocart_types::Email;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::app::{ApiKeys, IssuedTokens, MachineToken, Origin, Sessions};
use crate::domain::Scope;
use crate::edge::{Edge, read_small};
use crate::error::ServiceError;

/// A form is a few hundred bytes.
const FORM_BYTES_MAX: usize = 8 * 1024;
/// No password is longer.
const PASSWORD_CHARS_MAX: usize = 128;

/// The grants that are given: `client_credentials`, `refresh_token`, and `password` where the shop has turned it on.
#[derive(Default, Deserialize, ToSchema)]
pub(crate) struct TokenForm {
    #[schema(example = "client_credentials")]
    grant_type: String,
    /// Of a machine: its key's id and secret, here or as HTTP Basic.
    client_id: Option<String>,
    #[schema(format = "password")]
    client_secret: Option<String>,
    refresh_token: Option<String>,
    /// Of a customer: the e-mail address, for the grant `password`.
    username: Option<String>,
    #[schema(format = "password")]
    password: Option<String>,
    /// `read` or `write`; what the key allows when there is none here.
    scope: Option<String>,
}

#[derive(Serialize)]
struct OAuthTokens {
    access_token: String,
    token_type: &'static str,
    expires_in: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
}

impl From<MachineToken> for OAuthTokens {
    fn from(token: MachineToken) -> Self {
        Self {
            access_token: token.access_token,
            token_type: "Bearer",
            expires_in: token.expires_in,
            refresh_token: None,
            scope: Some(token.scope),
        }
    }
}

impl From<IssuedTokens> for OAuthTokens {
    fn from(tokens: IssuedTokens) -> Self {
        Self {
            access_token: tokens.access_token,
            token_type: "Bearer",
            expires_in: tokens.expires_in,
            refresh_token: Some(tokens.refresh_token),
            scope: None,
        }
    }
}

/// Whether a request is OAuth's; the others are our own JSON.
pub(crate) fn is_form(headers: &actix_web::http::header::HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| {
            value
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

fn refused(error: &'static str, detail: &str) -> Problem {
    Problem::bad_request("OAUTH_ERROR", detail).with("error", error)
}

pub(crate) async fn token(
    sessions: web::Data<Sessions>,
    keys: web::Data<ApiKeys>,
    edge: web::Data<Edge>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ServiceError> {
    let body = read_small(
        &request,
        payload,
        FORM_BYTES_MAX.min(edge.settings.body_bytes_max),
    )
    .await?;
    let form = parse(&body)?;
    let tokens: OAuthTokens = match form.grant_type.as_str() {
        "client_credentials" => {
            let (id, secret) = client(&request, &form)?;
            let scope = match form.scope.as_deref().map(str::trim) {
                None | Some("") => None,
                Some(asked) => Some(Scope::parse(asked).ok_or(ServiceError::InvalidScope)?),
            };
            keys.sign_in(&id, &secret, scope).await?.into()
        }
        "refresh_token" => refresh(sessions, &form).await?.into(),
        "password" if edge.settings.gives_password_grant => {
            let address = edge.address(request.peer_addr(), request.headers());
            log_in(&sessions, &form, address).await?.into()
        }
        "" => return Err(refused("invalid_request", "grant_type is missing").into()),
        // The password grant among them, unless it is wanted: nobody but the shop itself shall see a customer's password.
        _ => {
            return Err(refused(
                "unsupported_grant_type",
                "client_credentials and refresh_token are the grants there are",
            )
            .into());
        }
    };
    Ok(HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .insert_header(("pragma", "no-cache"))
        .json(tokens))
}

async fn refresh(sessions: web::Data<Sessions>, form: &TokenForm) -> Result<IssuedTokens, ServiceError> {
    let token = form
        .refresh_token
        .clone()
        .ok_or_else(|| refused("invalid_request", "refresh_token is missing"))?;
    let sessions = sessions.into_inner();
    let work = async move { sessions.refresh(&token).await };
    match ferrocart_http_kit::detached("refresh", work).await {
        Err(ServiceError::InvalidRefreshToken) => {
            Err(refused("invalid_grant", "the refresh token is not valid").into())
        }
        other => other,
    }
}

/// RFC 6749, section 4.3, with the same bounds on guesses as the shop's own page has.
async fn log_in(
    sessions: &Sessions,
    form: &TokenForm,
    address: String,
) -> Result<IssuedTokens, ServiceError> {
    let (Some(username), Some(password)) = (&form.username, &form.password) else {
        return Err(refused("invalid_request", "username and password are needed").into());
    };
    if password.chars().count() > PASSWORD_CHARS_MAX {
        return Err(refused("invalid_grant", "the username or the password is wrong").into());
    }
    let from = Origin {
        address,
        refresh_token: None,
    };
    match sessions
        .log_in(Email::parse(username).ok(), password, &from)
        .await
    {
        Err(ServiceError::InvalidCredentials) => {
            Err(refused("invalid_grant", "the username or the password is wrong").into())
        }
        other => other,
    }
}

/// Unknown members are ignored, as RFC 6749 demands, and one that comes twice is refused.
fn parse(body: &[u8]) -> Result<TokenForm, Problem> {
    let mut form = TokenForm::default();
    for (name, value) in form_urlencoded::parse(body) {
        let field = match &*name {
            "grant_type" if form.grant_type.is_empty() => {
                form.grant_type = value.into_owned();
                continue;
            }
            "client_id" => &mut form.client_id,
            "client_secret" => &mut form.client_secret,
            "refresh_token" => &mut form.refresh_token,
            "username" => &mut form.username,
            "password" => &mut form.password,
            "scope" => &mut form.scope,
            "grant_type" => return Err(refused("invalid_request", "grant_type comes twice")),
            _ => continue,
        };
        if field.replace(value.into_owned()).is_some() {
            return Err(refused("invalid_request", "a member comes twice"));
        }
    }
    Ok(form)
}

/// By HTTP Basic or in the form, and not by both.
fn client(request: &HttpRequest, form: &TokenForm) -> Result<(String, String), ServiceError> {
    let basic = request
        .headers()
        .get(AUTHORIZATION)
        .map(|value| {
            value
                .to_str()
                .ok()
                .and_then(basic)
                .ok_or(ServiceError::InvalidClient)
        })
        .transpose()?;
    match (basic, &form.client_id, &form.client_secret) {
        (Some(client), None, None) => Ok(client),
        (Some(_), ..) => Err(refused("invalid_request", "one way of naming the client is enough").into()),
        (None, Some(id), Some(secret)) => Ok((id.clone(), secret.clone())),
        (None, ..) => Err(ServiceError::InvalidClient),
    }
}

fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    // Our ids and secrets have no character that form encoding changes.
    Some((id.to_owned(), secret.to_owned()))
}
