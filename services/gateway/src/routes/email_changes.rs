use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Json, ProblemBody};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::EmailChanges;
use crate::error::ServiceError;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailedToken {
    /// From the link.
    #[garde(length(max = 256))]
    token: String,
}

/// Take another e-mail address by a mailed link
///
/// The link came to the address that the account has from now on, and is used up. Where it came to a former address, which
/// thereby takes its account back, all logins end and the password is void: set a new one by a mailed link. Otherwise the
/// logins end, that one apart from which the change was asked for, and the former address is told.
#[utoipa::path(post, path = "/v1/auth/email-change/confirm", operation_id = "confirm_email_change", tag = "auth", request_body = MailedToken, security(()), responses(
    (status = 204, description = "the account has the address"),
    (status = 400, description = "INVALID_LINK: used, too old, or none of ours; VALIDATION_ERROR", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "EMAIL_TAKEN: another account has the address by now; CONCURRENT_CHANGE: try again", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "OVERLOADED: too many passwords at once", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn confirm(
    changes: web::Data<EmailChanges>,
    body: Json<MailedToken>,
) -> Result<HttpResponse, ServiceError> {
    let changes = changes.into_inner();
    let token = body.value.token;
    // A client that hangs up must not leave its link half used.
    let work = async move { changes.confirm(&token).await };
    ferrocart_http_kit::detached("change_email", work).await?;
    Ok(HttpResponse::NoContent().finish())
}
