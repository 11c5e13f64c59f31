//! Pure: what an order is, what it may become, and what follows what in a saga. No I/O.

/// An enum whose members are upper-case words in JSON, in its document and in the database alike: a word is taken as a token
/// because utoipa does not see one that is taken as a literal.
macro_rules! words {
    ($(#[$meta:meta])* $visibility:vis enum $name:ident { $($(#[$doc:meta])* $member:ident = $word:tt,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        $visibility enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $member,)+
        }

        impl $name {
            #[allow(dead_code, reason = "not every word list is walked through")]
            $visibility const ALL: &'static [Self] = &[$(Self::$member,)+];

            $visibility const fn as_str(self) -> &'static str {
                match self { $(Self::$member => $word,)+ }
            }

            $visibility fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$member),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

mod address;
mod cart;
mod order;
mod payment;
mod reason;
mod refund;
pub(crate) mod saga;
mod status;

pub(crate) use address::ShippingAddress;
pub(crate) use cart::CartId;
pub(crate) use order::{HistoryEntry, Line, Order, OrderParts, Shipment, State};
pub(crate) use payment::{PaymentFact, PaymentStatus};
pub(crate) use reason::CancelReason;
pub(crate) use refund::{Refund, RefundError, RefundRequest, RefundTerms, RefundedItem};
pub(crate) use saga::Step;
pub(crate) use status::InvalidTransition;
pub use status::Status;
