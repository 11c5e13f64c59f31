use std::collections::HashMap;

use ferrocart_types::{OrderId, ReservationId, SkuId, Timestamp, UserId};
use uuid::Uuid;

use crate::domain::reservation::reservation_of;
use crate::domain::sale::{SaleId, SaleTerms};

/// A place in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TicketId(pub Uuid);

/// What became of a place in line. All but the first are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketState {
    Waiting,
    /// There is a hold; it must be redeemed by then.
    Granted {
        hold_expires_at: Timestamp,
    },
    /// It stood in line as long as anybody may.
    Expired,
    /// The buyer left, or bought what they may have in another way.
    Cancelled,
    SaleEnded,
}

impl TicketState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Granted { .. } => "GRANTED",
            Self::Expired => "EXPIRED",
            Self::Cancelled => "CANCELLED",
            Self::SaleEnded => "SALE_ENDED",
        }
    }

    /// None for what cannot be.
    pub fn from_stored(word: &str, hold_expires_at: Option<Timestamp>) -> Option<Self> {
        match (word, hold_expires_at) {
            ("WAITING", None) => Some(Self::Waiting),
            ("GRANTED", Some(hold_expires_at)) => Some(Self::Granted { hold_expires_at }),
            ("EXPIRED", None) => Some(Self::Expired),
            ("CANCELLED", None) => Some(Self::Cancelled),
            ("SALE_ENDED", None) => Some(Self::SaleEnded),
            _ => None,
        }
    }

    pub const fn hold_expires_at(self) -> Option<Timestamp> {
        match self {
            Self::Granted { hold_expires_at } => Some(hold_expires_at),
            _ => None,
        }
    }

    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Waiting)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub ticket: TicketId,
    pub sale: SaleId,
    pub sku: SkuId,
    pub buyer: UserId,
    pub units: i32,
    /// Who is lower is before.
    pub position: i64,
    pub state: TicketState,
    pub created_at: Timestamp,
    /// Until when it stays in line.
    pub expires_at: Timestamp,
}

impl Ticket {
    /// The order whose reservation the hold is.
    pub fn order_id(&self) -> OrderId {
        OrderId(self.ticket.0)
    }

    pub fn hold_id(&self) -> ReservationId {
        reservation_of(self.order_id())
    }

    pub fn units(&self) -> i64 {
        i64::from(self.units)
    }

    /// A ticket has two states in its life.
    pub const fn sequence(&self) -> i64 {
        if self.state.is_final() { 2 } else { 1 }
    }
}

/// Who of a line gets units, and who leaves it because they have bought what they may.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) granted: Vec<Ticket>,
    pub(crate) over: Vec<Ticket>,
}

/// Serves a line strictly in order: who wants more than is free holds the others up. `bought` is what buyers have
/// of the sale already.
pub(crate) fn serve(
    line: &[Ticket],
    mut free: i64,
    terms: &SaleTerms,
    bought: &HashMap<(SaleId, UserId), i64>,
) -> Service {
    let mut service = Service::default();
    for ticket in line {
        let has = bought.get(&(terms.sale, ticket.buyer)).copied().unwrap_or(0);
        if has + ticket.units() > terms.units_per_buyer_max {
            service.over.push(*ticket);
        } else if ticket.units() <= free {
            free -= ticket.units();
            service.granted.push(*ticket);
        } else {
            break;
        }
    }
    service
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALE: SaleId = SaleId(Uuid::from_u128(1));

    fn ticket(position: i64, units: i32) -> Ticket {
        let at = Timestamp::from_timestamp(1_000_000, 0).unwrap();
        Ticket {
            ticket: TicketId(Uuid::from_u128(u128::from(position.unsigned_abs()))),
            sale: SALE,
            sku: SkuId(Uuid::from_u128(2)),
            buyer: UserId(Uuid::from_u128(u128::from(position.unsigned_abs()))),
            units,
            position,
            state: TicketState::Waiting,
            created_at: at,
            expires_at: at,
        }
    }

    proptest! {
        /// Units come free in any portions, buyers have bought this and that: in the end everybody who may buy and who
        /// stands before the first that still waits was served, nobody else, and no unit twice.
        #[test]
        fn a_line_is_served_in_order_whatever_comes_free_when(
            wants in prop::collection::vec((1..4_i32, 0..4_i64), 0..30),
            portions in prop::collection::vec(0..5_i64, 0..30),
        ) {
            let terms = SaleTerms { sale: SALE, units_per_buyer_max: 4, live: true };
            let all: Vec<Ticket> = (1..).zip(&wants).map(|(position, (units, _))| ticket(position, *units)).collect();
            let has: Vec<i64> = wants.iter().map(|(_, has)| *has).collect();
            let bought = all.iter().zip(&has).map(|(ticket, has)| ((SALE, ticket.buyer), *has)).collect();
            let (mut line, mut free, mut granted, mut over) = (all.clone(), 0, Vec::new(), Vec::new());
            for portion in &portions {
                free += portion;
                let service = serve(&line, free, &terms, &bought);
                free -= service.granted.iter().map(Ticket::units).sum::<i64>();
                prop_assert!(free >= 0);
                line.retain(|ticket| !service.granted.contains(ticket) && !service.over.contains(ticket));
                granted.extend(service.granted);
                over.extend(service.over);
            }
            prop_assert_eq!(free + granted.iter().map(Ticket::units).sum::<i64>(), portions.iter().sum::<i64>());
            if let (Some(first), false) = (line.first(), portions.is_empty()) {
                prop_assert!(first.units() > free, "{first:?} waits although {free} are free");
            }
            let waits_from = line.first().map_or(i64::MAX, |ticket| ticket.position);
            for (ticket, has) in all.iter().zip(&has) {
                let may = has + ticket.units() <= terms.units_per_buyer_max;
                let before = ticket.position < waits_from;
                prop_assert_eq!(granted.contains(ticket), may && before);
                prop_assert_eq!(over.contains(ticket), !may && before);
            }
            prop_assert!(granted.is_sorted_by_key(|ticket| ticket.position));
        }
    }
}
