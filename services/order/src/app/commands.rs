//! What happens to an order after its checkout: cancel, ship, deliver, refund. Each is a saga of its own,
//! but for the delivery, which calls nobody.

use ferrocart_http_kit::{Caller, Problem, Role};
use ferrocart_pg_kit::{StoreError, outbox, run_tx};
use ferrocart_types::{OrderId, SagaId};
use sqlx::PgConnection;

use super::{App, access};
use crate::domain::saga::Kind;
use crate::domain::{CancelReason, InvalidTransition, Order, Shipment, Status};
use crate::error::ServiceError;
use crate::events::status_event;
use crate::store::sagas::{LogLine, NewSaga, Payload, Saga};
use crate::store::{orders, sagas};

#[derive(Debug, Clone)]
pub(crate) enum Command {
    Cancel,
    Ship(Shipment),
    Deliver,
    Refund { reason: Option<String> },
}

/// The order after a command.
#[derive(Debug)]
pub(crate) enum Changed {
    Done(Order),
    /// Not done in time: it goes on.
    Accepted(Order),
}

enum Begun {
    /// It was so before, or is so at once.
    Already(Box<Order>),
    Started(Box<(Saga, Order)>),
    /// The same is under way already, or the checkout was asked to undo itself.
    Joined,
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
        let begun = run_tx(&self.inner.pool, "order.command", |conn| {
            let (app, caller, command) = (self.clone(), caller.clone(), command.clone());
            Box::pin(async move { app.begin_command(conn, &caller, id, &command).await })
        })
        .await?;
        match begun {
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
        }
        let idle = self.wait_until_idle(id, deadline).await?;
        let order = self.read_order(caller, id).await?;
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
        if from == to {
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
            (Some((kind, _)), None) => self.start_saga(conn, caller, order, kind, command).await,
            (Some((kind, _)), Some((_, running))) if kind == running => Ok(Begun::Joined),
            (_, Some(_)) if from.may_become(to) => Err(ServiceError::OrderBusy),
            (_, Some(_)) => Err(InvalidTransition { from, to }.into()),
        }
    }

    async fn deliver(&self, conn: &mut PgConnection, before: Order) -> Result<Order, ServiceError> {
        let mut order = before.clone().deliver(self.inner.clock.now())?;
        let change = orders::Change {
            before: &before,
            after: &order,
        };
        let versions = orders::update(conn, &[change]).await?;
        if let Some(version) = versions.get(&order.id) {
            order.version = *version;
        }
        outbox::append(conn, &[status_event(&self.inner.publisher, &order)]).await?;
        Ok(order)
    }

    async fn start_saga(
        &self,
        conn: &mut PgConnection,
        caller: &Caller,
        order: Order,
        kind: Kind,
        command: &Command,
    ) -> Result<Begun, ServiceError> {
        let now = self.inner.clock.now();
        let mut payload = Payload {
            traceparent: ferrocart_telemetry::current_traceparent(),
            ..Payload::default()
        };
        match command {
            Command::Ship(shipment) => payload.shipment = Some(shipment.clone()),
            Command::Refund { reason } => payload.note.clone_from(reason),
            Command::Cancel | Command::Deliver => {}
        }
        let saga = Saga {
            id: SagaId(self.inner.ids.next()),
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

fn cancel_reason(caller: &Caller, order: &Order) -> CancelReason {
    if access::owns(caller, order) {
        CancelReason::CustomerRequest
    } else {
        CancelReason::SupportRequest
    }
}
