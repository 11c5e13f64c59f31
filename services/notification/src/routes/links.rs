use std::time::Duration;

use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Json, Problem, ProblemBody, Role};
use ferrocart_types::{Email, NotificationId, UserId};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::State;
use crate::domain::{Purpose, Refusal};
use crate::error::NotificationError;
use crate::store;

/// A one-time link that is mailed now and written down nowhere: whoever reads our tables must not find it.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct MailLink {
    /// The same one with every try.
    message_id: NotificationId,
    customer_id: UserId,
    email: Email,
    purpose: Purpose,
    #[garde(length(max = 2048))]
    link: String,
    /// For how long it is good.
    minutes: u32,
}

/// Mails a one-time link; for services alone.
#[utoipa::path(post, path = "/internal/v1/links", tag = "notification", security(("bearer" = [])),
    request_body = MailLink,
    responses((status = 204, description = "the mail server has it"), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "MAIL_REFUSED: for good"), (status = 503, body = ProblemBody)))]
pub(crate) async fn mail_link(
    caller: Caller,
    Json { value: body, .. }: Json<MailLink>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    caller.require_any(&[Role::Service])?;
    let known = store::preferences(&state.pool, &[body.customer_id])
        .await?
        .remove(&body.customer_id);
    let locale = known.and_then(|known| known.locale).unwrap_or(state.post.locale);
    let message = state
        .post
        .links
        .compose(
            body.message_id,
            &body.email,
            locale,
            (body.purpose, &body.link, body.minutes),
            state.clock.now(),
        )
        .map_err(|error| {
            tracing::error!(notification.id = %body.message_id, %error, "a link cannot be mailed");
            refused()
        })?;
    let delivery = state.post.mailer.deliver(body.message_id, &message);
    let outcome = tokio::time::timeout(state.post.timeout, delivery).await;
    let result = match &outcome {
        Ok(Ok(())) => "SENT",
        Ok(Err(error)) if error.refusal == Refusal::Permanent => "FAILED",
        _ => "RETRIED",
    };
    metrics::counter!("notifications_total", "kind" => body.purpose.as_str(), "status" => result)
        .increment(1);
    match outcome {
        Ok(Ok(())) => Ok(HttpResponse::NoContent().finish()),
        Ok(Err(error)) => {
            tracing::warn!(notification.id = %body.message_id, %error, "a link was not mailed");
            Err(match error.refusal {
                Refusal::Permanent => refused().into(),
                Refusal::Unavailable | Refusal::Temporary => unavailable().into(),
            })
        }
        Err(_) => Err(unavailable().into()),
    }
}

fn refused() -> Problem {
    Problem::new(
        actix_web::http::StatusCode::UNPROCESSABLE_ENTITY,
        "MAIL_REFUSED",
        "the e-mail cannot be delivered to this address",
    )
}

fn unavailable() -> Problem {
    Problem::unavailable("the mail server", Duration::from_secs(5))
}
