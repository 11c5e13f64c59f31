use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Json, ProblemBody};
use ferrocart_types::Email;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::users::password;
use crate::app::PasswordResets;
use crate::error::ServiceError;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct ResetPassword {
    email: Email,
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// From the link.
    #[garde(length(max = 256))]
    token: String,
    /// 8 to 128 characters.
    #[garde(skip)]
    #[schema(
        format = "password",
        min_length = 8,
        max_length = 128,
        example = "correct horse battery"
    )]
    password: String,
}

/// Ask for a link to set a new password
///
/// It is mailed to the address, if that has an account. The answer does not say whether it has, nor whether it was
/// written to too often in this hour.
#[utoipa::path(post, path = "/v1/auth/password-reset", operation_id = "ask_password_reset", tag = "auth", request_body = ResetPassword, security(()), responses(
    (status = 202, description = "whoever has this account gets a mail"),
    (status = 400, description = "VALIDATION_ERROR: no e-mail address", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn ask(
    resets: web::Data<PasswordResets>,
    body: Json<ResetPassword>,
) -> Result<HttpResponse, ServiceError> {
    resets.ask(&body.value.email).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Set a new password by a mailed link
///
/// The link is used up, and all logins end.
#[utoipa::path(post, path = "/v1/auth/password-reset/confirm", operation_id = "confirm_password_reset", tag = "auth", request_body = NewPassword, security(()), responses(
    (status = 204, description = "log in with the new password"),
    (status = 400, description = "INVALID_LINK: used, too old, or none of ours; VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "CONCURRENT_CHANGE: try again", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "OVERLOADED: too many passwords at once", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn confirm(
    resets: web::Data<PasswordResets>,
    body: Json<NewPassword>,
) -> Result<HttpResponse, ServiceError> {
    let body = body.value;
    let password = password(&body.password)?;
    let resets = resets.into_inner();
    // A client that hangs up must not leave its link half used.
    let work = async move { resets.confirm(&body.token, &password).await };
    ferrocart_http_kit::detached("reset_password", work).await?;
    Ok(HttpResponse::NoContent().finish())
}
