use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, PageQuery, Problem, ProblemBody, Query, encode_cursor};
use ferrocart_pg_kit::{StoreError, run_tx};
use ferrocart_types::{EndpointId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::own_endpoint;
use crate::consumers::body;
use crate::domain::{DeliveryStatus, Endpoint, EventType, NewMessage};
use crate::error::NotificationError;
use crate::routes::State;
use crate::store::{self, Attempt, Delivery};

/// `PageQuery` written out: numbers in a flattened query do not parse.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveriesQuery {
    status: Option<DeliveryStatus>,
    /// How many items at most: 1 to 100, 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A message on its way to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryBody {
    delivery_id: Uuid,
    /// The `webhook-id`: the same on every try and in a redelivery.
    message_id: Uuid,
    event_type: EventType,
    status: DeliveryStatus,
    attempts: u32,
    /// Of the last try; `null` when there was no answer.
    status_code: Option<u16>,
    /// Why the last try failed.
    error: Option<String>,
    /// `null` when it is not tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryPage {
    items: Vec<DeliveryBody>,
    /// Pass it as `cursor` to read on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptBody {
    attempt: u32,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    duration_ms: u32,
    status_code: Option<u16>,
    error: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryDetail {
    #[serde(flatten)]
    delivery: DeliveryBody,
    /// What is sent.
    #[schema(value_type = Object)]
    body: Value,
    /// The first first.
    log: Vec<AttemptBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryStarted {
    delivery_id: Uuid,
}

/// What was sent to an endpoint, the newest first. Kept for 30 days.
#[utoipa::path(get, path = "/v1/webhooks/endpoints/{endpoint_id}/deliveries", tag = "webhooks",
    security(("bearer" = [])), params(("endpoint_id" = EndpointId, Path), DeliveriesQuery),
    responses((status = 200, body = DeliveryPage), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(crate) async fn list_deliveries(
    caller: Caller,
    id: web::Path<String>,
    Query(query): Query<DeliveriesQuery>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let endpoint = own_endpoint(&caller, &state, &id).await?;
    let DeliveriesQuery {
        status,
        limit,
        cursor,
    } = query;
    let page = PageQuery { limit, cursor };
    let limit = page.limit()?;
    // One more than asked for tells whether there is a next page.
    let before = page.after()?;
    let mut found = store::deliveries(&state.pool, endpoint.id, status, before, limit + 1).await?;
    let full = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > full;
    found.truncate(full);
    let last = found.last().filter(|_| more);
    Ok(HttpResponse::Ok().json(DeliveryPage {
        next_cursor: last.map(|last| encode_cursor(&last.id)),
        items: found.into_iter().map(DeliveryBody::from).collect(),
    }))
}

/// What is sent, and how each try went.
#[utoipa::path(get, path = "/v1/webhooks/endpoints/{endpoint_id}/deliveries/{delivery_id}", tag = "webhooks",
    security(("bearer" = [])), params(("endpoint_id" = EndpointId, Path), ("delivery_id" = Uuid, Path)),
    responses((status = 200, body = DeliveryDetail), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(crate) async fn read_delivery(
    caller: Caller,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let (endpoint, delivery) = path.into_inner();
    let endpoint = own_endpoint(&caller, &state, &endpoint).await?;
    let found = store::delivery_log(&state.pool, endpoint.id, delivery_id(&delivery)?).await?;
    let (delivery, body, log) = found.ok_or_else(no_delivery)?;
    Ok(HttpResponse::Ok().json(DeliveryDetail {
        delivery: delivery.into(),
        body: serde_json::from_str(&body).unwrap_or(Value::String(body)),
        log: log.into_iter().map(AttemptBody::from).collect(),
    }))
}

/// Sends a message once more, whatever became of it before, with the `webhook-id` that it had.
#[utoipa::path(post, path = "/v1/webhooks/endpoints/{endpoint_id}/deliveries/{delivery_id}/redeliver",
    tag = "webhooks", security(("bearer" = [])),
    params(("endpoint_id" = EndpointId, Path), ("delivery_id" = Uuid, Path)),
    responses((status = 202, body = DeliveryStarted), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn deliver_again(
    caller: Caller,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let (endpoint, of) = path.into_inner();
    let endpoint = own_endpoint(&caller, &state, &endpoint).await?;
    let of = delivery_id(&of)?;
    must_be_enabled(&endpoint)?;
    let (id, new, now) = (endpoint.id, state.ids.next(), state.clock.now());
    let started = run_tx(&state.pool, "redeliver", |conn| {
        Box::pin(async move { store::redeliver(conn, id, of, new, now).await })
    })
    .await?;
    if !started {
        return Err(no_delivery().into());
    }
    state.courier.poke();
    Ok(HttpResponse::Accepted().json(DeliveryStarted { delivery_id: new }))
}

/// Sends a `webhook.test`, so that you can try out your endpoint.
#[utoipa::path(post, path = "/v1/webhooks/endpoints/{endpoint_id}/test", tag = "webhooks",
    security(("bearer" = [])), params(("endpoint_id" = EndpointId, Path)),
    responses((status = 202, body = DeliveryStarted), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn send_test(
    caller: Caller,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let endpoint = own_endpoint(&caller, &state, &id).await?;
    must_be_enabled(&endpoint)?;
    let (delivery_id, now) = (state.ids.next(), state.clock.now());
    let message = NewMessage {
        message_id: state.ids.next(),
        merchant_id: endpoint.merchant_id,
        event_type: EventType::Test,
        body: body(EventType::Test, now, &json!({"endpoint_id": endpoint.id})),
        traceparent: ferrocart_telemetry::current_traceparent(),
        created_at: now,
        deliveries: vec![(delivery_id, endpoint.id)],
    };
    run_tx(&state.pool, "test_webhook", |conn| {
        let message = message.clone();
        Box::pin(async move {
            store::insert_messages(conn, &[&message]).await?;
            Ok::<_, StoreError>(())
        })
    })
    .await?;
    state.courier.poke();
    Ok(HttpResponse::Accepted().json(DeliveryStarted { delivery_id }))
}

fn must_be_enabled(endpoint: &Endpoint) -> Result<(), Problem> {
    if endpoint.is_enabled() {
        return Ok(());
    }
    Err(Problem::conflict(
        "ENDPOINT_DISABLED",
        "enable the endpoint first",
    ))
}

fn delivery_id(text: &str) -> Result<Uuid, Problem> {
    text.parse()
        .map_err(|_| Problem::invalid_field("delivery_id", "a UUID is expected"))
}

fn no_delivery() -> Problem {
    Problem::not_found("DELIVERY_NOT_FOUND", "the endpoint has no such delivery")
}

impl From<Delivery> for DeliveryBody {
    fn from(delivery: Delivery) -> Self {
        Self {
            delivery_id: delivery.id,
            message_id: delivery.message_id,
            event_type: delivery.event_type,
            status: delivery.status,
            attempts: delivery.attempts,
            status_code: delivery.status_code,
            error: delivery.error,
            next_attempt_at: (delivery.status == DeliveryStatus::Pending).then_some(delivery.next_attempt_at),
            created_at: delivery.created_at,
            ended_at: delivery.ended_at,
        }
    }
}

impl From<Attempt> for AttemptBody {
    fn from(attempt: Attempt) -> Self {
        Self {
            attempt: attempt.number,
            at: attempt.at,
            duration_ms: attempt.duration_ms,
            status_code: attempt.status_code,
            error: attempt.error,
        }
    }
}
