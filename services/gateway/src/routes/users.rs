use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Json, Problem, ProblemBody, Role, parse_id};
use ferrocart_types::{Email, Timestamp, UserId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::{AccessClaims, Accounts, Asker, ProfileChange, Sessions};
use crate::domain::{Password, PersonName, User, UserRole, UserRoles};
use crate::edge::Admitted;
use crate::error::ServiceError;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct Register {
    email: Email,
    /// 8 to 128 characters.
    #[schema(
        format = "password",
        min_length = 8,
        max_length = 128,
        example = "correct horse battery"
    )]
    password: String,
    #[schema(min_length = 1, max_length = 100, example = "Ada Lovelace")]
    name: String,
}

/// All of a profile that its owner may set.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct PutProfile {
    email: Email,
    #[schema(min_length = 1, max_length = 100, example = "Ada Lovelace")]
    name: String,
    /// Needed when the e-mail is another one.
    #[schema(format = "password")]
    current_password: Option<String>,
}

/// What is to change; the rest stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct PatchProfile {
    email: Option<Email>,
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// A new password; ends all logins.
    #[schema(format = "password", min_length = 8, max_length = 128)]
    password: Option<String>,
    /// Needed when the e-mail or the password changes.
    #[schema(format = "password")]
    current_password: Option<String>,
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutRoles {
    #[garde(length(min = 1, max = 5))]
    roles: Vec<UserRole>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UserAnswer {
    user_id: UserId,
    email: Email,
    /// After a change of the address: the one that the account has as soon as the link is followed that was mailed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_email: Option<Email>,
    name: String,
    roles: Vec<UserRole>,
    version: i64,
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

impl From<User> for UserAnswer {
    fn from(user: User) -> Self {
        Self {
            user_id: user.id,
            email: user.email,
            pending_email: None,
            name: user.name.as_str().to_owned(),
            roles: user.roles.as_slice().to_vec(),
            version: user.version,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

pub(super) fn name(text: &str) -> Result<PersonName, Problem> {
    PersonName::parse(text).map_err(|error| Problem::invalid_field("name", error))
}

pub(super) fn password(text: &str) -> Result<Password, Problem> {
    Password::parse(text).map_err(|error| Problem::invalid_field("password", error))
}

/// A key that got out must not become more keys, a new password or another role.
fn by_a_person(claims: &AccessClaims) -> Result<(), Problem> {
    if claims.client_id.is_some() {
        return Err(Problem::forbidden(
            "accounts are kept by people, not with an API key",
        ));
    }
    Ok(())
}

/// The account that the path names, if the caller may see it. Others get the same 403 whether it exists
/// or not.
pub(super) fn own_or_admin(admitted: &Admitted, id: &str) -> Result<(UserId, bool), Problem> {
    let user_id: UserId = parse_id(id)?;
    let claims = admitted
        .claims()
        .ok_or_else(|| Problem::unauthenticated("log in first: a bearer token is needed here"))?;
    if claims.client_id.is_some() {
        // A key that got out must not become more keys, or a new password.
        return Err(Problem::forbidden(
            "accounts are kept by people, not with an API key",
        ));
    }
    let is_own = claims.sub == user_id.as_uuid() && !claims.has_role(Role::Guest);
    if is_own || claims.has_role(Role::Admin) {
        Ok((user_id, is_own))
    } else {
        Err(Problem::forbidden("this is another user's account"))
    }
}

/// Open an account
#[utoipa::path(post, path = "/v1/users", operation_id = "register_user", tag = "users", request_body = Register, security(()), responses(
    (status = 201, description = "the account, with the role customer", body = UserAnswer),
    (status = 400, description = "VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "EMAIL_TAKEN", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn register(
    accounts: web::Data<Accounts>,
    body: Json<Register>,
) -> Result<HttpResponse, ServiceError> {
    let body = body.value;
    let (name, password) = (name(&body.name)?, password(&body.password)?);
    let user = accounts.register(body.email, name, &password).await?;
    Ok(HttpResponse::Created()
        .insert_header(("location", format!("/v1/users/{}", user.id)))
        .json(UserAnswer::from(user)))
}

/// Read a profile
#[utoipa::path(get, path = "/v1/users/{user_id}", operation_id = "read_user", tag = "users", params(("user_id" = UserId, Path)), responses(
    (status = 200, description = "the profile", body = UserAnswer),
    (status = 403, description = "FORBIDDEN: another user's", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "USER_NOT_FOUND, for an administrator", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn get(
    accounts: web::Data<Accounts>,
    admitted: web::ReqData<Admitted>,
    path: web::Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let (user_id, _) = own_or_admin(&admitted, &path)?;
    Ok(HttpResponse::Ok().json(UserAnswer::from(accounts.get(user_id).await?)))
}

/// Replace a profile
///
/// Another e-mail address is the account's once the link is followed that is mailed there; until then it is the answer's
/// `pending_email`.
#[utoipa::path(put, path = "/v1/users/{user_id}", operation_id = "put_user", tag = "users", params(("user_id" = UserId, Path)), request_body = PutProfile, responses(
    (status = 200, description = "the profile as it is now", body = UserAnswer),
    (status = 403, description = "FORBIDDEN: another user's", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "USER_NOT_FOUND, for an administrator", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "EMAIL_TAKEN, CONCURRENT_CHANGE", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn put(
    accounts: web::Data<Accounts>,
    admitted: web::ReqData<Admitted>,
    path: web::Path<String>,
    body: Json<PutProfile>,
) -> Result<HttpResponse, ServiceError> {
    let whose = own_or_admin(&admitted, &path)?;
    let body = body.value;
    let change = ProfileChange {
        name: Some(name(&body.name)?),
        email: Some(body.email),
        password: None,
        current_password: body.current_password,
    };
    change_profile(accounts, &admitted, whose, change).await
}

/// Change parts of a profile
///
/// Another e-mail address is the account's once the link is followed that is mailed there; until then it is the answer's
/// `pending_email`.
#[utoipa::path(patch, path = "/v1/users/{user_id}", operation_id = "patch_user", tag = "users", params(("user_id" = UserId, Path)), request_body = PatchProfile, responses(
    (status = 200, description = "the profile as it is now", body = UserAnswer),
    (status = 403, description = "FORBIDDEN: another user's", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "USER_NOT_FOUND, for an administrator", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "EMAIL_TAKEN, CONCURRENT_CHANGE", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn patch(
    accounts: web::Data<Accounts>,
    admitted: web::ReqData<Admitted>,
    path: web::Path<String>,
    body: Json<PatchProfile>,
) -> Result<HttpResponse, ServiceError> {
    let whose = own_or_admin(&admitted, &path)?;
    let body = body.value;
    let change = ProfileChange {
        name: body.name.as_deref().map(name).transpose()?,
        email: body.email,
        password: body.password.as_deref().map(password).transpose()?,
        current_password: body.current_password,
    };
    change_profile(accounts, &admitted, whose, change).await
}

async fn change_profile(
    accounts: web::Data<Accounts>,
    admitted: &Admitted,
    (user_id, is_own): (UserId, bool),
    change: ProfileChange,
) -> Result<HttpResponse, ServiceError> {
    let owner = admitted.claims().filter(|_| is_own).map(|claims| Asker {
        user_id,
        session_id: claims.sid,
    });
    let accounts = accounts.into_inner();
    let work = async move { accounts.change_profile(user_id, change, owner).await };
    let (user, pending_email) = ferrocart_http_kit::detached("change_profile", work).await?;
    Ok(HttpResponse::Ok().json(UserAnswer {
        pending_email,
        ..UserAnswer::from(user)
    }))
}

/// Set the roles of an account
#[utoipa::path(put, path = "/v1/users/{user_id}/roles", operation_id = "put_user_roles", tag = "users", params(("user_id" = UserId, Path)), request_body = PutRoles, responses(
    (status = 200, description = "the profile; the roles stand in the next access token", body = UserAnswer),
    (status = 403, description = "FORBIDDEN: for administrators", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "USER_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn put_roles(
    accounts: web::Data<Accounts>,
    admitted: web::ReqData<Admitted>,
    path: web::Path<String>,
    body: Json<PutRoles>,
) -> Result<HttpResponse, ServiceError> {
    if let Some(claims) = admitted.claims() {
        by_a_person(claims)?;
    }
    let user_id: UserId = parse_id(&path)?;
    let roles = UserRoles::new(body.value.roles)
        .ok_or_else(|| Problem::invalid_field("roles", "at least one is needed"))?;
    let accounts = accounts.into_inner();
    let work = async move { accounts.set_roles(user_id, roles).await };
    let user = ferrocart_http_kit::detached("set_roles", work).await?;
    Ok(HttpResponse::Ok().json(UserAnswer::from(user)))
}

/// Log out everywhere
///
/// Ends all logins of the account. Access tokens that are out end by themselves, with their `expires_in`.
#[utoipa::path(delete, path = "/v1/users/{user_id}/sessions", tag = "users", params(("user_id" = UserId, Path)), responses(
    (status = 204, description = "no refresh token of the account is good any more"),
    (status = 403, description = "FORBIDDEN: another user's", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn end_sessions(
    sessions: web::Data<Sessions>,
    admitted: web::ReqData<Admitted>,
    path: web::Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let (user_id, _) = own_or_admin(&admitted, &path)?;
    let sessions = sessions.into_inner();
    let work = async move { sessions.log_out_everywhere(user_id).await };
    ferrocart_http_kit::detached("log_out_everywhere", work).await?;
    Ok(HttpResponse::NoContent().finish())
}
