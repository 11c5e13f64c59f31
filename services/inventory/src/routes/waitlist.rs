use std::collections::VecDeque;
use std::time::Duration;

use actix_web::web::{Data, Path};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use ferrocart_http_kit::sse::{self, StreamSlot, Streams, Watcher};
use ferrocart_http_kit::{Caller, IdempotencyKey, Json, Problem, ProblemBody, Role, detached};
use ferrocart_types::{Quantity, SkuId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::{Joining, Watching};
use crate::domain::{Ticket, TicketId, TicketState};
use crate::error::ServiceError;
use crate::routes::idempotency::request_key_of;
use crate::routes::sales::time;
use crate::routes::{AppState, parse_sku};

const WAIT_SECONDS_MAX: u64 = 30;

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinDto {
    #[garde(skip)]
    #[schema(format = "uuid")]
    sku_id: String,
    /// 1 by default.
    #[garde(skip)]
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10_000)]
    quantity: Option<i64>,
    /// How long the answer may be waited for; 0 by default.
    #[garde(range(min = 0, max = WAIT_SECONDS_MAX))]
    #[serde(default)]
    #[schema(minimum = 0, maximum = 30)]
    wait_seconds: u64,
    /// Whether to leave the line when the wait is over; otherwise the place is kept.
    #[garde(skip)]
    #[serde(default)]
    leave_after_wait: bool,
}

/// A place in line.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TicketDto {
    #[schema(format = "uuid")]
    ticket: Uuid,
    #[schema(value_type = String, format = "uuid")]
    sku_id: SkuId,
    quantity: i32,
    /// WAITING, GRANTED, EXPIRED, CANCELLED or SALE_ENDED.
    #[schema(value_type = String, example = "WAITING")]
    status: &'static str,
    /// How many stand before it, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    ahead: Option<i64>,
    /// What was granted: give it to `POST /v1/orders`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    hold_id: Option<String>,
    /// Until when to check out, or, while it waits, until when it stays in line.
    #[schema(format = "date-time")]
    expires_at: String,
}

impl TicketDto {
    fn new(ticket: &Ticket, ahead: Option<i64>) -> Self {
        let hold_expires_at = ticket.state.hold_expires_at();
        Self {
            ticket: ticket.ticket.0,
            sku_id: ticket.sku,
            quantity: ticket.units,
            status: ticket.state.as_str(),
            ahead,
            hold_id: hold_expires_at.map(|_| ticket.hold_id().to_string()),
            expires_at: time(hold_expires_at.unwrap_or(ticket.expires_at)),
        }
    }
}

async fn ticket_dto(state: &AppState, ticket: &Ticket) -> Result<TicketDto, ServiceError> {
    let ahead = match ticket.state {
        TicketState::Waiting => Some(state.waitlist.ahead(ticket).await?),
        _ => None,
    };
    Ok(TicketDto::new(ticket, ahead))
}

/// Wait for what comes free in a flash sale
///
/// When the SKU is sold out. First come, first served: a unit that is released becomes a hold of the next in line
/// before anybody else can buy it. A buyer has one place in the line of a SKU. With `wait_seconds` the answer is
/// waited for: 201 with the hold, or 202 with the place in line, which is kept, whoever hangs up.
#[utoipa::path(post, path = "/v1/waitlist", operation_id = "join_waitlist", tag = "flash-sales", request_body = JoinDto,
    security(("bearer" = [])),
    params(("Idempotency-Key" = String, Header, description = "One for each request, the same with a retry")),
    responses((status = 201, body = TicketDto, description = "GRANTED"),
        (status = 202, body = TicketDto, description = "WAITING"),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR, INVALID_PRODUCT_ID, INVALID_QUANTITY, IDEMPOTENCY_KEY_MISSING"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND"),
        (status = 409, body = ProblemBody, description = "IN_STOCK, NO_SALE, SALE_NOT_STARTED, PURCHASE_LIMIT_EXCEEDED, WAITLIST_FULL; of the ticket: SALE_ENDED, TICKET_EXPIRED, TICKET_CANCELLED"),
        (status = 422, body = ProblemBody, description = "IDEMPOTENCY_KEY_REUSED"),
        (status = 429, body = ProblemBody, description = "TOO_MANY_STREAMS: too many wait for an answer"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn join(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<JoinDto>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&[Role::Customer])?;
    let buyer = caller.user()?.user_id;
    let key = IdempotencyKey::extract(&request).await?;
    let key = request_key_of(&caller, &request, &key, &body.raw);
    let units = Quantity::new(body.value.quantity.unwrap_or(1)).map_err(|error| {
        Problem::bad_request("INVALID_QUANTITY", format!("quantity: {error}")).field("quantity", error)
    })?;
    let joining = Joining {
        sku: parse_sku("sku_id", &body.value.sku_id)?,
        buyer,
        units: units.as_i32(),
    };
    let wait = Duration::from_secs(body.value.wait_seconds);
    let slot = (!wait.is_zero())
        .then(|| state.streams.slot(Watcher::User(buyer)))
        .transpose()?;
    let desk = state.waitlist.clone();
    let (id, replayed) = detached("waitlist-join", async move { desk.join(&joining, &key).await }).await?;
    let mut ticket = tokio::select! {
        ticket = state.waitlist.wait_for(id, wait) => ticket?,
        () = state.streams.stopping() => state.waitlist.find(id).await?,
    };
    drop(slot);
    if !ticket.state.is_final() && !wait.is_zero() && body.value.leave_after_wait {
        let desk = state.waitlist.clone();
        ticket = detached("waitlist-leave", async move { desk.leave(ticket).await }).await?;
    }
    let mut answer = match ticket.state {
        TicketState::Granted { .. } => HttpResponse::Created(),
        TicketState::Waiting => HttpResponse::Accepted(),
        TicketState::Expired => return Err(ServiceError::TicketExpired),
        TicketState::Cancelled => return Err(ServiceError::LeftWaitlist),
        TicketState::SaleEnded => return Err(ServiceError::SaleEnded),
    };
    answer.insert_header(("location", format!("/v1/waitlist/{}", ticket.ticket.0)));
    if replayed {
        answer.insert_header(("idempotent-replayed", "true"));
    }
    Ok(answer.json(ticket_dto(&state, &ticket).await?))
}

/// The caller's own ticket; another's is not there.
async fn own(caller: &Caller, state: &AppState, text: &str) -> Result<Ticket, ServiceError> {
    caller.require_any(&[Role::Customer])?;
    let parsed = text.parse().map(TicketId);
    let id = parsed.map_err(|_| Problem::bad_request("INVALID_TICKET_ID", "ticket: a UUID is expected"))?;
    let ticket = state.waitlist.find(id).await?;
    if ticket.buyer != caller.user()?.user_id {
        return Err(ServiceError::TicketNotFound);
    }
    Ok(ticket)
}

/// Leave the line
///
/// Answers the ticket as it is afterwards: what was granted already stays granted.
#[utoipa::path(delete, path = "/v1/waitlist/{ticket}", operation_id = "leave_waitlist", tag = "flash-sales",
    security(("bearer" = [])), params(("ticket" = String, Path)),
    responses((status = 200, body = TicketDto),
        (status = 400, body = ProblemBody, description = "INVALID_TICKET_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "TICKET_NOT_FOUND"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn leave(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    let ticket = own(&caller, &state, &path).await?;
    let desk = state.waitlist.clone();
    let ticket = detached("waitlist-leave", async move { desk.leave(ticket).await }).await?;
    Ok(HttpResponse::Ok().json(ticket_dto(&state, &ticket).await?))
}

/// Watch a place in line
///
/// Server-Sent Events with the name `ticket`: first the present state, with the id 1 while it waits, then what
/// becomes of it, with the id 2; then the stream ends. With `Last-Event-ID` only what came after it is sent.
#[utoipa::path(get, path = "/v1/waitlist/{ticket}", tag = "flash-sales",
    security(("bearer" = [])),
    params(("ticket" = String, Path), ("Last-Event-ID" = Option<i64>, Header)),
    responses((status = 200, description = "the stream", content_type = "text/event-stream", body = TicketDto),
        (status = 204, description = "Last-Event-ID names the final state: nothing follows"),
        (status = 400, body = ProblemBody, description = "INVALID_TICKET_ID"),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "TICKET_NOT_FOUND"),
        (status = 429, body = ProblemBody, description = "TOO_MANY_STREAMS"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn watch_ticket(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ServiceError> {
    let id = own(&caller, &state, &path).await?.ticket;
    let slot = state.streams.slot(Watcher::User(caller.user()?.user_id))?;
    // Before the snapshot, so that nothing can happen between the two unseen.
    let watching = state.waitlist.tools.waiters.watch(id);
    let ticket = state.waitlist.find(id).await?;
    let seen = sse::last_event_id(&request).unwrap_or(0);
    if seen >= ticket.sequence() && ticket.state.is_final() {
        return Ok(HttpResponse::NoContent().finish());
    }
    let mut waiting = VecDeque::from([sse::opening()]);
    if ticket.sequence() > seen {
        let dto = ticket_dto(&state, &ticket).await?;
        waiting.push_back(sse::event("ticket", ticket.sequence(), &dto));
    }
    let events = TicketEvents {
        waiting,
        watching,
        is_over: ticket.state.is_final(),
        heartbeat: state.streams.heartbeat(),
        streams: state.streams.clone(),
        _slot: slot,
    };
    Ok(sse::respond(futures::stream::unfold(
        events,
        |mut events| async move { Some((events.next().await?, events)) },
    )))
}

struct TicketEvents {
    waiting: VecDeque<String>,
    watching: Watching,
    is_over: bool,
    heartbeat: tokio::time::Interval,
    streams: Streams,
    _slot: StreamSlot,
}

impl TicketEvents {
    async fn next(&mut self) -> Option<String> {
        if let Some(text) = self.waiting.pop_front() {
            return Some(text);
        }
        if self.is_over {
            return None;
        }
        tokio::select! {
            ticket = self.watching.outcome() => {
                let ticket = ticket?;
                self.is_over = true;
                Some(sse::event("ticket", ticket.sequence(), &TicketDto::new(&ticket, None)))
            }
            _ = self.heartbeat.tick() => Some(sse::HEARTBEAT.to_owned()),
            () = self.streams.stopping() => None,
        }
    }
}
