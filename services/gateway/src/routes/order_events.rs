use std::collections::VecDeque;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use ferrocart_http_kit::{Problem, ProblemBody, parse_id};
use ferrocart_types::{OrderId, Timestamp};
use futures::Stream;
use serde::Deserialize;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::edge::{Admitted, Edge, Service};
use crate::sse::{Feed, OrderChange, StreamSlot, Subscription};

/// How long a request waits for the reader of events right after the gateway's start.
const LIVE_WAIT: Duration = Duration::from_secs(2);
/// What a browser waits before it connects again.
const RETRY_MS: u32 = 1_000;

/// How streams are kept alive; from the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heartbeat(pub(crate) Duration);

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
    feed: web::Data<Feed>,
    heartbeat: web::Data<Heartbeat>,
) -> Result<HttpResponse, Problem> {
    let order_id: OrderId = parse_id(&path)?;
    let claims = admitted
        .claims()
        .ok_or_else(|| Problem::unauthenticated("log in first: a bearer token is needed here"))?;
    let slot = feed.slot(claims.sub).ok_or_else(too_many_streams)?;
    let is_live = feed.wait_live(LIVE_WAIT).await;
    // Before the snapshot, so that nothing can happen between the two unseen.
    let subscription = feed.subscribe(order_id.into());
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
    let snapshot: Snapshot = serde_json::from_slice(order.body()).map_err(|error| {
        tracing::error!(%error, "the order service gave an order that cannot be read");
        Problem::internal()
    })?;
    let seen = last_event_id(&request);
    let changes = snapshot.since(order_id, seen);
    let is_final = is_final(&snapshot.status);
    if changes.is_empty() && is_final {
        return Ok(HttpResponse::NoContent().finish());
    }
    let events = Events {
        waiting: opening(&changes),
        sequence: snapshot.sequence().max(seen.unwrap_or(0)),
        is_over: is_final,
        is_live,
        heartbeat: ticks(heartbeat.0),
        subscription,
        feed: feed.get_ref().clone(),
        _slot: slot,
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-store"))
        // nginx would otherwise collect events before it passes them on.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(events.into_stream()))
}

fn is_final(status: &str) -> bool {
    matches!(status, "DELIVERED" | "CANCELLED" | "REFUNDED")
}

fn too_many_streams() -> Problem {
    let detail = "you have too many open event streams: close one first";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_STREAMS", detail)
        .retry_after(Duration::from_secs(1))
}

/// What is no sequence of ours counts as nothing seen.
fn last_event_id(request: &HttpRequest) -> Option<i64> {
    request
        .headers()
        .get("last-event-id")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn opening(changes: &[OrderChange]) -> VecDeque<Bytes> {
    let mut waiting = VecDeque::from([Bytes::from(format!("retry: {RETRY_MS}\n\n"))]);
    waiting.extend(changes.iter().map(event));
    waiting
}

fn event(change: &OrderChange) -> Bytes {
    let data = serde_json::to_string(change).unwrap_or_default();
    Bytes::from(format!("event: order\nid: {}\ndata: {data}\n\n", change.sequence))
}

/// An open stream.
struct Events {
    waiting: VecDeque<Bytes>,
    /// Of the last event that was sent.
    sequence: i64,
    is_over: bool,
    /// Whether events arrived when the stream was opened.
    is_live: bool,
    heartbeat: Interval,
    subscription: Subscription,
    feed: Feed,
    _slot: StreamSlot,
}

impl Events {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        futures::stream::unfold(self, |mut events| async move {
            let bytes = events.next().await?;
            Some((Ok(bytes), events))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.waiting.pop_front() {
                return Some(bytes);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                change = self.subscription.next() => self.take(&change?),
                _ = self.heartbeat.tick() => {
                    // What happened before events arrived was missed: the client comes again for a snapshot.
                    self.is_over = !self.is_live && self.feed.wait_live(Duration::ZERO).await;
                    self.waiting.push_back(Bytes::from_static(b": still here\n\n"));
                }
                () = self.feed.stopping() => return None,
            }
        }
    }

    fn take(&mut self, change: &OrderChange) {
        // Delivered again, or told by the snapshot already.
        if change.sequence <= self.sequence {
            return;
        }
        self.sequence = change.sequence;
        self.is_over = is_final(&change.status);
        self.waiting.push_back(event(change));
    }
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
