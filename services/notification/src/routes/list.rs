use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, PageQuery, Problem, ProblemBody, Query, Role, encode_cursor};
use ferrocart_types::{NotificationId, OrderId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::State;
use crate::domain::{Channel, Kind, Locale, Status, Summary};
use crate::error::NotificationError;
use crate::store;

/// `PageQuery` written out: numbers in a flattened query do not parse.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Whose notifications; for support and admins. Without it, your own.
    customer_id: Option<String>,
    /// How many items at most: 1 to 100, 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotificationBody {
    notification_id: NotificationId,
    order_id: OrderId,
    kind: Kind,
    channel: Channel,
    status: Status,
    /// The language that it is written in.
    locale: Locale,
    subject: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// `null` until it is sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    sent_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotificationPage {
    items: Vec<NotificationBody>,
    /// Pass it as `cursor` to read on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// What was sent to you, the newest first. Support and admins may ask for another customer's.
#[utoipa::path(get, path = "/v1/notifications", operation_id = "list_notifications", tag = "notification", security(("bearer" = [])), params(ListQuery),
    responses((status = 200, body = NotificationPage), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn list(
    caller: Caller,
    Query(query): Query<ListQuery>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let ListQuery {
        customer_id,
        limit,
        cursor,
    } = query;
    let customer = whose(&caller, customer_id.as_deref())?;
    let page = PageQuery { limit, cursor };
    let limit = page.limit()?;
    // One more than asked for tells whether there is a next page.
    let mut found = store::list(&state.pool, customer, page.after()?, limit + 1).await?;
    let full = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > full;
    found.truncate(full);
    let next_cursor = found
        .last()
        .filter(|_| more)
        .map(|last| encode_cursor(&last.notification_id));
    Ok(HttpResponse::Ok().json(NotificationPage {
        items: found.into_iter().map(NotificationBody::from).collect(),
        next_cursor,
    }))
}

fn whose(caller: &Caller, asked_for: Option<&str>) -> Result<UserId, Problem> {
    let own = caller.user()?.user_id;
    let Some(text) = asked_for else {
        return Ok(own);
    };
    let customer: UserId = text
        .parse()
        .map_err(|_| Problem::invalid_field("customer_id", "a UUID is expected"))?;
    if customer != own {
        caller.require_any(&[Role::Support, Role::Admin])?;
    }
    Ok(customer)
}

impl From<Summary> for NotificationBody {
    fn from(summary: Summary) -> Self {
        Self {
            notification_id: summary.notification_id,
            order_id: summary.order_id,
            kind: summary.kind,
            channel: summary.channel,
            status: summary.status,
            locale: summary.locale,
            subject: summary.subject,
            created_at: summary.created_at,
            sent_at: summary.sent_at,
        }
    }
}
