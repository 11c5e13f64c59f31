use ferrocart_types::{OrderId, ReservationId, SharedClock, UserId};
use sqlx::PgPool;

use crate::app::{Actor, SaleMeter};
use crate::batcher::{BatchError, Batcher, Move, Moved, Reserve};
use crate::domain::{Ask, Command, HoldSeconds, Lines, Refused, Reservation, Verdict, order_of};
use crate::error::ServiceError;
use crate::store;

/// Units that a buyer holds for a short time. A hold is a reservation with a buyer, made under the id of
/// the order that it may become: that id is its key, so it becomes one order at most.
#[derive(Clone)]
pub(crate) struct HoldDesk {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) batcher: Batcher,
    pub(crate) meter: SaleMeter,
    pub(crate) lasts: HoldSeconds,
}

#[derive(Debug, Clone)]
pub(crate) struct HoldRequest {
    pub(crate) buyer: UserId,
    /// The order that it may become.
    pub(crate) order_id: OrderId,
    pub(crate) lines: Lines,
    pub(crate) actor: Actor,
}

impl HoldDesk {
    /// Holds the units. The same order again finds its hold.
    pub(crate) async fn place(&self, request: HoldRequest) -> Result<Verdict, BatchError> {
        let HoldRequest {
            buyer,
            order_id,
            lines,
            actor,
        } = request;
        let ask = Ask {
            order_id,
            buyer: Some(buyer),
            lines,
            expires_at: self.clock.now() + self.lasts.as_delta(),
        };
        let lines = ask.lines.clone();
        let verdict = match self.batcher.shortages(&ask) {
            Some(shortages) => Verdict::Refused(Refused::Insufficient(shortages)),
            None => self.batcher.reserve(Reserve { ask, actor }).await?,
        };
        self.meter.count(&lines, !matches!(verdict, Verdict::Refused(_)));
        Ok(verdict)
    }

    /// The buyer's hold as it is now; another's is not there.
    pub(crate) async fn find(&self, buyer: UserId, id: ReservationId) -> Result<Reservation, ServiceError> {
        let order_id = order_of(id);
        let mut conn = self.pool.acquire().await?;
        let found = store::find(&mut conn, &[order_id]).await?.remove(&order_id);
        found
            .filter(|hold| hold.buyer == Some(buyer) && hold.lines.as_slice().len() == 1)
            .map(|hold| hold.seen_at(self.clock.now()))
            .ok_or(ServiceError::HoldNotFound)
    }

    /// Puts the units back on sale, unless they belong to an order for good.
    pub(crate) async fn give_back(
        &self,
        buyer: UserId,
        id: ReservationId,
        actor: Actor,
    ) -> Result<Reservation, ServiceError> {
        // A reservation's buyer never changes, so that it may be looked at before.
        let order_id = self.find(buyer, id).await?.order_id;
        let command = Command::GiveBack;
        let request = Move {
            order_id,
            command,
            actor,
        };
        match self.batcher.command(request).await? {
            Moved::Done(hold) => Ok(hold),
            Moved::Refused(refusal) => Err(refusal.into()),
            Moved::NotFound => Err(ServiceError::HoldNotFound),
        }
    }
}
