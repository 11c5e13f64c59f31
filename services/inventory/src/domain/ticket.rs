use ferrocart_types::{OrderId, ReservationId, SkuId, Timestamp, UserId};
use uuid::Uuid;

use crate::domain::reservation::reservation_of;
use crate::domain::sale::SaleId;

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
