use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::domain::{Ticket, TicketId};
use crate::store::StockRow;

/// Those in this process who wait for a place in line to become something, and the worker that serves the line.
#[derive(Debug, Clone, Default)]
pub struct Waiters {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    work: Notify,
    watched: Mutex<HashMap<TicketId, watch::Sender<Option<Ticket>>>>,
}

/// An ear on one ticket.
#[derive(Debug)]
pub(crate) struct Watching {
    ticket: TicketId,
    receiver: watch::Receiver<Option<Ticket>>,
    waiters: Waiters,
}

impl Waiters {
    /// To be called after every commit that may leave units for those who wait.
    pub(crate) fn committed(&self, rows: &[StockRow]) {
        if rows
            .iter()
            .any(|row| row.after.waiting > 0 && row.after.free() > 0)
        {
            self.inner.work.notify_one();
        }
    }

    /// Until there is work, or may be.
    pub(crate) async fn work(&self) {
        self.inner.work.notified().await;
    }

    /// From now on nothing that becomes of the ticket is missed.
    pub(crate) fn watch(&self, ticket: TicketId) -> Watching {
        let mut watched = self.lock();
        let sender = watched.entry(ticket).or_insert_with(|| watch::Sender::new(None));
        Watching {
            ticket,
            receiver: sender.subscribe(),
            waiters: self.clone(),
        }
    }

    /// What became of tickets.
    pub(crate) fn tell(&self, tickets: &[Ticket]) {
        if tickets.is_empty() {
            return;
        }
        let watched = self.lock();
        for ticket in tickets {
            if let Some(sender) = watched.get(&ticket.ticket) {
                sender.send_replace(Some(*ticket));
            }
        }
    }

    pub(crate) fn watched(&self) -> Vec<TicketId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TicketId, watch::Sender<Option<Ticket>>>> {
        self.inner.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching {
    /// What became of the ticket.
    pub(crate) async fn outcome(&mut self) -> Option<Ticket> {
        let seen = self.receiver.wait_for(Option::is_some).await;
        seen.ok().and_then(|ticket| *ticket)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watched = self.waiters.lock();
        // The receiver of this one still counts.
        if watched
            .get(&self.ticket)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            watched.remove(&self.ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use ferrocart_types::{SkuId, Timestamp, UserId};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{SaleId, TicketState};

    #[tokio::test]
    async fn who_watches_a_ticket_is_told_of_it_alone_and_nothing_stays_behind() {
        let waiters = Waiters::default();
        let ticket = |n| Ticket {
            ticket: TicketId(Uuid::from_u128(n)),
            sale: SaleId(Uuid::nil()),
            sku: SkuId(Uuid::nil()),
            buyer: UserId(Uuid::nil()),
            units: 1,
            position: 1,
            state: TicketState::Expired,
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
        };
        let mut one = waiters.watch(ticket(1).ticket);
        let other = waiters.watch(ticket(2).ticket);
        waiters.tell(&[ticket(1), ticket(3)]);
        assert_eq!(one.outcome().await, Some(ticket(1)));
        assert!(other.receiver.borrow().is_none());
        drop((one, other));
        assert_eq!(waiters.watched(), []);
    }
}
