//! The vocabulary that all services share: typed ids, money, quantities, the clock and the id
//! generator. Nothing here does I/O.

mod clock;
mod email;
mod id;
mod money;
mod quantity;

pub use clock::{Clock, IdGen, MockClock, SharedClock, SharedIds, SystemClock, SystemIds, Timestamp};
pub use email::{Email, InvalidEmail};
pub use id::{
    CategoryId, EndpointId, EventId, InvalidId, NotificationId, OrderId, PaymentId, ProductId, ReservationId,
    ReviewId, SagaId, SkuId, UserId,
};
pub use money::{Currency, InvalidCurrency, Money, MoneyError};
pub use quantity::{InvalidQuantity, Quantity};
