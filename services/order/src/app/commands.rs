//! What happens to an order after its checkout: cancel, ship, deliver, refund. Each is a saga of its own,
//! but for the delivery, which calls nobody.

use std::time::Duration;

use ferrocart_http_kit::{Caller, Problem, Role};
use ferrocart_pg_kit::idempotency::{self, Claim, RequestKey, StoredResponse};
use ferrocart_pg_kit::{StoreError, outbox, run_tx};
use ferrocart_types::{OrderId, SagaId};
use sqlx::PgConnection;
use tokio::time::Instant;

use super::{App, access};
use crate::domain::saga::Kind;
use crate::domain::{CancelReason, InvalidTransition, Order, RefundRequest, Shipment, Status};
use crate::error::ServiceError;
use crate::events::status_event;
use crate::saga::SagaError;
use crate::store::sagas::{KeyRef, LogLine, NewSaga, Payload, Saga};
use crate::store::{keys, orders, sagas};
use crate::views::OrderView;

#[derive(Debug, Clone)]
pub(crate) enum Command {
    Cancel,
    Ship(Shipment),
    Deliver,
    Refund {
        request: RefundRequest,
        reason: Option<String>,
        /// What is sent with a key is done once and answered alike however often it is sent; a part must be.
        key: Option<RequestKey>,
    },
}

/// The order after a command.
#[derive(Debug)]
pub(crate) enum Changed {
    Done(Order),
    /// Not done in time: it goes on.
    Accepted(Order),
    /// What stands under the key of the request.
    Stored {
        response: StoredResponse,
        replayed: bool,
    },
}

enum Begun {
    /// It was so before, or is so at once.
    Already(Box<Order>),
    Started(Box<(Saga, Order)>),
    /// The same is under way already, or the checkout was asked to undo itself.
    Joined,
    /// What stands under the key, from now on or from before.
    Stored {
        response: StoredResponse,
        replayed: bool,
    },
}

impl Command {
    const fn target(&self) -> Status {
        match self {
            Self::Cancel => Status::Cancelled,
            Self::Ship(_) => Status::Shipped,
            Self::Deliver => Status::Delivered,
            Self::Refund { .. } => Status::Refunded,
        }
    }

    /// The saga that does it, and what the order must be for it.
    const fn saga(&self) -> Option<(Kind, Status)> {
        match self {
            Self::Cancel => Some((Kind::Cancel, Status::Confirmed)),
            Self::Ship(_) => Some((Kind::Ship, Status::Confirmed)),
            Self::Refund { .. } => Some((Kind::Refund, Status::Delivered)),
            Self::Deliver => None,
        }
    }

    /// Under which the answer is stored.
    const fn key(&self) -> Option<&RequestKey> {
        match self {
            Self::Refund { key, .. } => key.as_ref(),
            _ => None,
        }
    }

    /// Whether all that it asks for was so before.
    fn is_done(&self, order: &Order) -> bool {
        match self {
            Self::Refund { request, .. } => order.status() == self.target() && request.is_whole(),
            _ => order.status() == self.target(),
        }
    }

    /// Without a key: with one it is a refund of its own.
    fn refunds_all(&self) -> bool {
        matches!(self, Self::Refund { request, key: None, .. } if request.is_whole())
    }

    /// Staff may; of an order's own customer this is asked with the order at hand.
    fn permitted(&self, caller: &Caller, order: &Order) -> Result<(), Problem> {
        match self {
            Self::Cancel if access::owns(caller, order) => Ok(()),
            Self::Cancel | Self::Refund { .. } => caller.require_any(&[Role::Support, Role::Admin]),
            Self::Ship(_) | Self::Deliver => caller.require_any(&[Role::Warehouse, Role::Admin]),
        }
    }
}

impl App {
    /// Does it, once, and waits for its end as long as there is time.
    pub(crate) async fn command(
        &self,
        caller: &Caller,
        id: OrderId,
        command: Command,
    ) -> Result<Changed, ServiceError> {
        let deadline = self.deadline();
        match self.begin_or_wait(caller, id, &command, deadline).await? {
            Begun::Already(order) => {
                self.inner.snapshots.note(&order);
                self.inner.relay.poke();
                self.inner.driver.endings().ring(id);
                return Ok(Changed::Done(*order));
            }
            Begun::Started(begun) => {
                let (saga, order) = *begun;
                // The task goes on whether or not anyone waits for it; what became of it is read below.
                drop(self.inner.driver.start(saga, order));
            }
            Begun::Joined => self.inner.driver.wake_worker(),
            Begun::Stored { response, replayed } => return Ok(Changed::Stored { response, replayed }),
        }
        let idle = self.wait_until_idle(id, deadline).await?;
        let order = self.read_order(caller, id).await?;
        if let Some(key) = command.key() {
            return Ok(match self.stored(key).await? {
                Some(response) => Changed::Stored {
                    response,
                    replayed: false,
                },
                None => Changed::Accepted(order),
            });
        }
        if order.status() == command.target() {
            return Ok(Changed::Done(order));
        }
        match command {
            _ if !idle => Ok(Changed::Accepted(order)),
            Command::Ship(_) if order.status() == Status::Cancelled => Err(ServiceError::PickFailed),
            Command::Refund { .. } => Err(ServiceError::RefundRefused),
            command => Err(InvalidTransition {
                from: order.status(),
                to: command.target(),
            }
            .into()),
        }
    }

    /// Refunds of an order are given one after the other: each waits for the one before it as long as there is
    /// time.
    async fn begin_or_wait(
        &self,
        caller: &Caller,
        id: OrderId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Begun, ServiceError> {
        loop {
            let begun = run_tx(&self.inner.pool, "order.command", |conn| {
                let (app, caller, command) = (self.clone(), caller.clone(), command.clone());
                Box::pin(async move { app.begin_command(conn, &caller, id, &command).await })
            })
            .await;
            match (begun, command) {
                (Err(ServiceError::OrderBusy), Command::Refund { .. }) => {
                    if !self.wait_until_idle(id, deadline).await? {
                        return Err(ServiceError::OrderBusy);
                    }
                }
                (begun, _) => return begun,
            }
        }
    }

    /// The answer that stands under a key.
    async fn stored(&self, key: &RequestKey) -> Result<Option<StoredResponse>, StoreError> {
        let mut conn = self.inner.pool.acquire().await?;
        let stored = keys::peek(&mut conn, &[key_ref(key)]).await?;
        Ok(stored.into_iter().flatten().flatten().next())
    }

    /// Sagas are locked before orders, everywhere: two that lock both never wait for each other.
    async fn begin_command(
        &self,
        conn: &mut PgConnection,
        caller: &Caller,
        id: OrderId,
        command: &Command,
    ) -> Result<Begun, ServiceError> {
        let unfinished = sagas::lock_unfinished(conn, id).await?;
        let order = orders::lock(conn, id)
            .await?
            .filter(|order| access::may_see(caller, order))
            .ok_or(ServiceError::OrderNotFound(id))?;
        command.permitted(caller, &order)?;
        let (from, to) = (order.status(), command.target());
        let saga_id = SagaId(self.inner.ids.next());
        if let Some(key) = command.key()
            && let Some(begun) = self.claim(conn, key, saga_id, command, &order).await?
        {
            return Ok(begun);
        }
        if command.key().is_none() && command.is_done(&order) {
            return Ok(Begun::Already(Box::new(order)));
        }
        match (command.saga(), unfinished) {
            (None, None) => Ok(Begun::Already(Box::new(self.deliver(conn, order).await?))),
            (Some((Kind::Cancel, _)), Some((saga, Kind::Checkout))) => {
                let reason = cancel_reason(caller, &order);
                sagas::request_cancel(conn, saga, reason, self.inner.clock.now()).await?;
                Ok(Begun::Joined)
            }
            (Some((kind, needed)), _) if from != needed => {
                tracing::debug!(saga.kind = %kind, "an order is in no state for this");
                Err(InvalidTransition { from, to }.into())
            }
            (Some((kind, _)), None) => {
                self.start_saga(conn, caller, order, (saga_id, kind), command)
                    .await
            }
            (Some((Kind::Refund, _)), Some((saga, Kind::Refund))) => {
                let same = command.refunds_all() && sagas::refunds_all(conn, saga).await?;
                // The key goes with the transaction: it is claimed again when there is room.
                if same {
                    Ok(Begun::Joined)
                } else {
                    Err(ServiceError::OrderBusy)
                }
            }
            (Some((kind, _)), Some((_, running))) if kind == running => Ok(Begun::Joined),
            (_, Some(_)) if from.may_become(to) => Err(ServiceError::OrderBusy),
            (_, Some(_)) => Err(InvalidTransition { from, to }.into()),
        }
    }

    /// Claims the key of a request for a saga to come. What is known of it ends it here.
    async fn claim(
        &self,
        conn: &mut PgConnection,
        key: &RequestKey,
        saga: SagaId,
        command: &Command,
        order: &Order,
    ) -> Result<Option<Begun>, ServiceError> {
        let now = self.inner.clock.now();
        match idempotency::claim(conn, key, saga.as_uuid(), now, Duration::ZERO).await? {
            Claim::Fresh if command.is_done(order) => {
                let view = OrderView::of(order).map_err(SagaError::from)?;
                let body = serde_json::to_vec(&view).map_err(SagaError::from)?;
                let response = StoredResponse { status: 200, body };
                idempotency::complete(conn, key, &response).await?;
                Ok(Some(Begun::Stored {
                    response,
                    replayed: false,
                }))
            }
            Claim::Fresh => Ok(None),
            Claim::Reused => Err(ServiceError::KeyReused),
            Claim::Replay { response, .. } => Ok(Some(Begun::Stored {
                response,
                replayed: true,
            })),
            // The key comes with its saga, and the saga's end with the answer: it is under way.
            Claim::Resume { .. } | Claim::InProgress { .. } => Ok(Some(Begun::Joined)),
        }
    }

    async fn deliver(&self, conn: &mut PgConnection, before: Order) -> Result<Order, ServiceError> {
        let mut order = before.clone().deliver(self.inner.clock.now())?;
        let change = orders::Change {
            before: &before,
            after: &order,
        };
        order.version = orders::update(conn, change).await?;
        outbox::append(conn, &[status_event(&self.inner.publisher, &order)]).await?;
        Ok(order)
    }

    async fn start_saga(
        &self,
        conn: &mut PgConnection,
        caller: &Caller,
        order: Order,
        (id, kind): (SagaId, Kind),
        command: &Command,
    ) -> Result<Begun, ServiceError> {
        let now = self.inner.clock.now();
        let mut payload = Payload {
            traceparent: ferrocart_telemetry::current_traceparent(),
            ..Payload::default()
        };
        match command {
            Command::Ship(shipment) => payload.shipment = Some(shipment.clone()),
            Command::Refund { request, reason, key } => {
                let terms = request.terms(&order, caller.scope())?;
                tracing::info!(
                    order.id = %order.id, refund.id = %id, refund.amount = %terms.amount, caller = terms.by,
                    "a refund begins"
                );
                payload.refund = Some(terms);
                payload.note.clone_from(reason);
                payload.idempotency = key.as_ref().map(key_ref);
            }
            Command::Cancel | Command::Deliver => {}
        }
        let saga = Saga {
            id,
            order_id: order.id,
            kind,
            step: kind.first_step(),
            reason: (kind == Kind::Cancel).then(|| cancel_reason(caller, &order)),
            fence: 1,
            wakes: 0,
            attempts: 0,
            payload,
            created_at: now,
        };
        let new = NewSaga {
            saga: &saga,
            cart: None,
            lease: self.inner.driver.lease(),
        };
        if sagas::insert(conn, &[new]).await? == 0 {
            return Err(ServiceError::OrderBusy);
        }
        sagas::log(conn, &[LogLine::first(&saga)]).await?;
        Ok(Begun::Started(Box::new((saga, order))))
    }

    /// A reservation that a checkout waits with has run out: the checkout undoes itself.
    pub(crate) async fn expire_reservation(
        &self,
        conn: &mut PgConnection,
        id: OrderId,
    ) -> Result<bool, StoreError> {
        match sagas::lock_unfinished(conn, id).await? {
            Some((saga, Kind::Checkout)) => {
                sagas::request_cancel(
                    conn,
                    saga,
                    CancelReason::ReservationExpired,
                    self.inner.clock.now(),
                )
                .await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

fn key_ref(key: &RequestKey) -> KeyRef {
    KeyRef {
        caller: key.caller().to_owned(),
        key: key.key().to_owned(),
    }
}

fn cancel_reason(caller: &Caller, order: &Order) -> CancelReason {
    if access::owns(caller, order) {
        CancelReason::CustomerRequest
    } else {
        CancelReason::SupportRequest
    }
}
