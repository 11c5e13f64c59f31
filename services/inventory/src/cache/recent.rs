use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ferrocart_types::{OrderId, SkuId};

use crate::domain::Reservation;

/// The most reservations of one generation; at about 300 bytes each.
const GENERATION_MAX: usize = 20_000;

/// Reservations that this process granted a short while ago, in two generations of which the older is forgotten:
/// a guess from which a confirmation starts, and which the database checks by the reservation's state. What is no
/// longer here, or was granted elsewhere, costs a look at the rows.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    now: HashMap<OrderId, Reservation>,
    before: HashMap<OrderId, Reservation>,
}

impl Recent {
    pub(crate) fn granted(&self, reservations: &[Reservation]) {
        self.with(|generations| {
            for reservation in reservations {
                if generations.now.len() >= GENERATION_MAX {
                    generations.before = std::mem::take(&mut generations.now);
                }
                generations.now.insert(reservation.order_id, reservation.clone());
            }
        });
    }

    /// These have become something else.
    pub(crate) fn forget(&self, orders: impl Iterator<Item = OrderId>) {
        self.with(|generations| {
            for order in orders {
                generations.now.remove(&order);
                generations.before.remove(&order);
            }
        });
    }

    /// The reservations of all these orders, as they were granted, or nothing.
    pub(crate) fn all(&self, orders: impl Iterator<Item = OrderId>) -> Option<HashMap<OrderId, Reservation>> {
        let mut orders = orders;
        self.with(|generations| {
            orders.try_fold(HashMap::new(), |mut found, order| {
                found.insert(order, generations.get(order)?.clone());
                Some(found)
            })
        })
    }

    /// The SKU by which the order's reservation found its lane.
    pub(crate) fn lowest_sku(&self, order: OrderId) -> Option<SkuId> {
        self.with(|generations| generations.get(order)?.lines.lowest_sku())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Generations) -> T) -> T {
        work(&mut self.generations.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Generations {
    fn get(&self, order: OrderId) -> Option<&Reservation> {
        self.now.get(&order).or_else(|| self.before.get(&order))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use ferrocart_types::{Clock as _, Quantity, SystemClock};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Lines, State};

    fn reservation(order: u128) -> Reservation {
        let now = SystemClock.now();
        Reservation {
            order_id: OrderId(Uuid::from_u128(order)),
            buyer: None,
            lines: Lines::sum_up(&[(SkuId(Uuid::from_u128(9)), Quantity::ONE)]).unwrap(),
            created_at: now,
            expires_at: now + TimeDelta::minutes(15),
            state: State::Reserved,
        }
    }

    fn knows(recent: &Recent, order: u128) -> bool {
        recent
            .all([OrderId(Uuid::from_u128(order))].into_iter())
            .is_some()
    }

    #[test]
    fn all_are_known_or_nothing_is_guessed() {
        let recent = Recent::default();
        recent.granted(&[reservation(1), reservation(2)]);
        let ids = |orders: [u128; 2]| orders.map(|order| OrderId(Uuid::from_u128(order)));
        assert_eq!(
            recent.all(ids([1, 2]).into_iter()).map(|found| found.len()),
            Some(2)
        );
        assert!(recent.all(ids([1, 3]).into_iter()).is_none());
        assert_eq!(recent.lowest_sku(ids([1, 2])[0]), Some(SkuId(Uuid::from_u128(9))));
        recent.forget(ids([1, 7]).into_iter());
        assert!(!knows(&recent, 1) && knows(&recent, 2));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let recent = Recent::default();
        let many = u128::try_from(GENERATION_MAX).unwrap();
        recent.granted(&(0..many).map(reservation).collect::<Vec<_>>());
        assert!(knows(&recent, 0));
        recent.granted(&(many..2 * many).map(reservation).collect::<Vec<_>>());
        assert!(knows(&recent, 0) && knows(&recent, 2 * many - 1));
        recent.granted(&[reservation(2 * many)]);
        assert!(!knows(&recent, 0) && knows(&recent, many) && knows(&recent, 2 * many));
    }
}
