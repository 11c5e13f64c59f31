//! The rules of stock and reservations; no I/O.

mod drift;
mod grant;
mod hold;
mod lines;
mod reservation;
mod sale;
mod stock;
mod ticket;

pub use drift::{LedgerSums, OrderGap, Standing};
pub(crate) use grant::grant;
pub use grant::{Ask, Refused, Shortage, Verdict};
pub use hold::{HoldSeconds, InvalidHold};
pub use lines::{InvalidLines, Line, Lines};
pub use reservation::{
    Command, Effect, LIFE_MAX, Refusal, ReleaseReason, Reservation, State, Step, UnknownWord, order_of,
    reservation_of,
};
pub use sale::{Excess, InvalidTransition, Sale, SaleCommand, SaleId, SaleRules, SaleState, SaleTerms};
pub use stock::{Channel, Counters, Kind, Movement, OutOfBounds};
pub(crate) use ticket::{Service, serve};
pub use ticket::{Ticket, TicketId, TicketState};
