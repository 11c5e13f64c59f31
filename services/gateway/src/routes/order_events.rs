use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use ferrocart_http_kit::sse::{Streams, last_event_id};
use ferrocart_http_kit::{Problem, ProblemBody, parse_id};
use ferrocart_types::{OrderId, Timestamp};
use serde::Deserialize;

use crate::edge::{Admitted, Edge, Service};
use crate::sse::{Ear, Feed, OrderChange, is_final};

/// The part of an order that this endpoint tells.
#[derive(Deserialize)]
struct Snapshot {
    status: String,
    history: Vec<Step>,
    updated_at: Timestamp,
}

#[derive(Deserialize)]
struct Step {
    status: String,
    at: Timestamp,
}

impl Snapshot {
    /// The events that led here and that come after `seen`. Without `seen` the present state alone.
    fn since(&self, order_id: OrderId, seen: Option<i64>) -> Vec<OrderChange> {
        let change = |status: &str, sequence: i64, at: Timestamp| OrderChange {
            order_id: order_id.into(),
            status: status.to_owned(),
            sequence,
            at,
        };
        let now = change(&self.status, self.sequence(), self.updated_at);
        let Some(seen) = seen else {
            return vec![now];
        };
        if now.sequence <= seen {
            return Vec::new();
        }
        (1..)
            .zip(&self.history)
            .filter(|(sequence, _)| *sequence > seen)
            .map(|(sequence, step)| change(&step.status, sequence, step.at))
            .collect()
    }

    /// Every step of the history is an event, and events are counted from 1.
    fn sequence(&self) -> i64 {
        i64::try_from(self.history.len()).unwrap_or(i64::MAX)
    }
}

/// Watch an order's status
///
/// Server-Sent Events: first the present state, then every change as it happens. Each event has the name
/// `order`, the order's sequence as its `id`, and as its data `{"order_id","status","sequence","at"}`. With
/// `Last-Event-ID` only what came after it is sent. The stream ends after DELIVERED, CANCELLED or REFUNDED.
#[utoipa::path(get, path = "/v1/orders/{order_id}/events", operation_id = "watch_order", tag = "orders",
    params(("order_id" = OrderId, Path), ("Last-Event-ID" = Option<i64>, Header)),
    responses(
        (status = 200, description = "the stream", content_type = "text/event-stream", body = String),
        (status = 204, description = "the order is in a final state that Last-Event-ID names: nothing follows"),
        (status = 403, description = "FORBIDDEN: another customer's order", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "TOO_MANY_STREAMS, RATE_LIMITED", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn stream(
    request: HttpRequest,
    path: web::Path<String>,
    admitted: web::ReqData<Admitted>,
    edge: web::Data<Edge>,
    feed: web::Data<Feed<OrderChange>>,
    streams: web::Data<Streams>,
) -> Result<HttpResponse, Problem> {
    let order_id: OrderId = parse_id(&path)?;
    let slot = streams.slot(edge.watcher(&request, &admitted))?;
    let ear = Ear::open(order_id.into(), &feed, (&streams, slot)).await;
    let order = edge
        .get_as_caller(
            Service::Order,
            &format!("/v1/orders/{order_id}"),
            (&request, &admitted),
        )
        .await?;
    if order.status() != StatusCode::OK {
        return Ok(order.into_response());
    }
    let snapshot: Snapshot = order.read()?;
    let seen = last_event_id(&request);
    let changes = snapshot.since(order_id, seen);
    let is_final = is_final(&snapshot.status);
    if changes.is_empty() && is_final {
        return Ok(HttpResponse::NoContent().finish());
    }
    let sequence = snapshot.sequence().max(seen.unwrap_or(0));
    Ok(ear.respond(&changes, sequence, is_final))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(steps: &[&str]) -> Snapshot {
        Snapshot {
            status: (*steps.last().unwrap()).to_owned(),
            history: steps
                .iter()
                .map(|status| Step {
                    status: (*status).to_owned(),
                    at: Timestamp::UNIX_EPOCH,
                })
                .collect(),
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn told(snapshot: &Snapshot, seen: Option<i64>) -> Vec<(i64, String)> {
        let order_id = OrderId(uuid::Uuid::nil());
        let changes = snapshot.since(order_id, seen);
        changes
            .into_iter()
            .map(|change| (change.sequence, change.status))
            .collect()
    }

    #[test]
    fn a_client_that_comes_back_is_told_what_it_missed() {
        let order = snapshot(&["PLACED", "PAYMENT_PENDING", "CONFIRMED"]);
        let own = |list: &[(i64, &str)]| -> Vec<(i64, String)> {
            list.iter().map(|(n, s)| (*n, (*s).to_owned())).collect()
        };
        assert_eq!(told(&order, None), own(&[(3, "CONFIRMED")]));
        assert_eq!(
            told(&order, Some(1)),
            own(&[(2, "PAYMENT_PENDING"), (3, "CONFIRMED")])
        );
        assert_eq!(told(&order, Some(3)), own(&[]));
        assert_eq!(told(&order, Some(9)), own(&[]));
    }
}
