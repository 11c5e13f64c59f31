use actix_web::{HttpResponse, web};
use chrono::TimeDelta;
use ferrocart_http_kit::{Json, Problem, ProblemBody};
use ferrocart_types::Timestamp;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::users::{name, own_or_admin};
use crate::app::{ApiKeys, NewKey};
use crate::domain::{ApiKey, Scope, UserRole, UserRoles};
use crate::edge::Admitted;
use crate::error::ServiceError;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateApiKey {
    /// For people: what uses the key.
    #[garde(skip)]
    #[schema(min_length = 1, max_length = 100, example = "stock import")]
    name: String,
    #[garde(skip)]
    scope: Scope,
    /// Some of your roles; all of them when there is none here.
    #[garde(inner(length(min = 1, max = 5)))]
    roles: Option<Vec<UserRole>>,
    /// Days after which the key ends by itself; without it, it does not.
    #[garde(inner(range(min = 1, max = 3650)))]
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeyAnswer {
    /// The `client_id`.
    key_id: Uuid,
    name: String,
    scope: Scope,
    roles: Vec<UserRole>,
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
    /// The `client_secret`, shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeyList {
    items: Vec<ApiKeyAnswer>,
}

impl ApiKeyAnswer {
    fn new(key: &ApiKey, secret: Option<String>) -> Self {
        Self {
            key_id: key.id,
            name: key.name.as_str().to_owned(),
            scope: key.scope,
            roles: key.roles.as_slice().to_vec(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            secret,
        }
    }
}

/// Make an API key for a machine
///
/// The machine gets access tokens for it at `/v1/auth/token` (`grant_type=client_credentials`).
#[utoipa::path(post, path = "/v1/users/{user_id}/api-keys", operation_id = "create_api_key", tag = "users", params(("user_id" = Uuid, Path)), request_body = CreateApiKey, responses(
    (status = 201, description = "the key with its secret, which is shown this once", body = ApiKeyAnswer),
    (status = 400, description = "VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "FORBIDDEN: another user's account, or a role that you do not have", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "KEY_LIMIT: revoke a key first", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    keys: web::Data<ApiKeys>,
    admitted: web::ReqData<Admitted>,
    path: web::Path<String>,
    body: Json<CreateApiKey>,
) -> Result<HttpResponse, ServiceError> {
    let (user_id, is_own) = own_or_admin(&admitted, &path)?;
    if !is_own {
        // An administrator who could would be able to act as anybody.
        return Err(Problem::forbidden("keys are made by their owners").into());
    }
    let body = body.value;
    let roles = body.roles.map(|roles| {
        UserRoles::new(roles).ok_or_else(|| Problem::invalid_field("roles", "at least one is needed"))
    });
    let new = NewKey {
        name: name(&body.name)?,
        scope: body.scope,
        roles: roles.transpose()?,
        life: body.expires_in_days.map(TimeDelta::days),
    };
    let keys = keys.into_inner();
    let work = async move { keys.create(user_id, new).await };
    let (key, secret) = ferrocart_http_kit::detached("create_api_key", work).await?;
    Ok(HttpResponse::Created()
        .insert_header(("cache-control", "no-store"))
        .json(ApiKeyAnswer::new(&key, Some(secret))))
}

/// List the API keys of an account
#[utoipa::path(get, path = "/v1/users/{user_id}/api-keys", operation_id = "list_api_keys", tag = "users", params(("user_id" = Uuid, Path)), responses(
    (status = 200, description = "those that are not revoked, without their secrets", body = ApiKeyList),
    (status = 403, description = "FORBIDDEN: another user's", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    keys: web::Data<ApiKeys>,
    admitted: web::ReqData<Admitted>,
    path: web::Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let (user_id, _) = own_or_admin(&admitted, &path)?;
    let items = keys.list(user_id).await?;
    let items = items.iter().map(|key| ApiKeyAnswer::new(key, None)).collect();
    Ok(HttpResponse::Ok().json(ApiKeyList { items }))
}

/// Revoke an API key
///
/// No new token is given for it; the last one ends by itself, with its `expires_in`.
#[utoipa::path(delete, path = "/v1/users/{user_id}/api-keys/{key_id}", operation_id = "revoke_api_key", tag = "users", params(("user_id" = Uuid, Path), ("key_id" = Uuid, Path)), responses(
    (status = 204, description = "revoked; also when it was before"),
    (status = 403, description = "FORBIDDEN: another user's", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "KEY_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn revoke(
    keys: web::Data<ApiKeys>,
    admitted: web::ReqData<Admitted>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ServiceError> {
    let (user_id, key_id) = path.into_inner();
    let (user_id, _) = own_or_admin(&admitted, &user_id)?;
    let key_id: Uuid = key_id.parse().map_err(|_| ServiceError::KeyNotFound)?;
    let keys = keys.into_inner();
    let work = async move { keys.revoke(user_id, key_id).await };
    ferrocart_http_kit::detached("revoke_api_key", work).await?;
    Ok(HttpResponse::NoContent().finish())
}
