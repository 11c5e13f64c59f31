use std::fmt;
use std::str::FromStr;

use ferrocart_types::SkuId;

use crate::domain::reservation::UnknownWord;
use crate::domain::sale::SaleTerms;

/// The counters of one SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub on_hand: i64,
    pub reserved: i64,
    pub version: i64,
    /// No longer sold; what was reserved before may still be shipped.
    pub discontinued: bool,
    /// Units that the waitlist asks for.
    pub waiting: i64,
    /// The flash sale that the SKU stands under.
    pub sale: Option<SaleTerms>,
}

/// A change that would break `0 <= reserved <= on_hand`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{sku}: {on_hand} on hand and {reserved} reserved cannot be")]
pub struct OutOfBounds {
    pub sku: SkuId,
    pub on_hand: i64,
    pub reserved: i64,
}

/// By how much the counters move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    pub kind: Kind,
    pub on_hand: i64,
    pub reserved: i64,
}

impl Counters {
    /// A SKU before its first stock.
    pub const EMPTY: Self = Self {
        on_hand: 0,
        reserved: 0,
        version: 0,
        discontinued: false,
        waiting: 0,
        sale: None,
    };

    /// What nobody has.
    pub fn free(&self) -> i64 {
        self.on_hand - self.reserved
    }

    /// What can be sold to whoever comes: those who wait come first.
    pub fn available(&self) -> i64 {
        if self.waiting == 0 {
            self.free()
        } else {
            self.free().saturating_sub(self.waiting).max(0)
        }
    }

    /// The counters after the movement, one version on.
    pub fn moved(self, sku: SkuId, movement: Movement) -> Result<Self, OutOfBounds> {
        let on_hand = self.on_hand.saturating_add(movement.on_hand);
        let reserved = self.reserved.saturating_add(movement.reserved);
        if 0 <= reserved && reserved <= on_hand && on_hand <= Self::ON_HAND_MAX {
            Ok(Self {
                on_hand,
                reserved,
                version: self.version + 1,
                ..self
            })
        } else {
            Err(OutOfBounds {
                sku,
                on_hand,
                reserved,
            })
        }
    }

    /// More than any warehouse holds, and far from where sums could overflow.
    pub const ON_HAND_MAX: i64 = 1_000_000_000_000;
}

/// Why counters moved: the word that stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Initialized,
    Reserved,
    Confirmed,
    Released,
    Expired,
    Deducted,
    Adjusted,
    Set,
    Discontinued,
    /// Records that had come apart were made to agree.
    Reconciled,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initialized => "INITIALIZED",
            Self::Reserved => "RESERVED",
            Self::Confirmed => "CONFIRMED",
            Self::Released => "RELEASED",
            Self::Expired => "EXPIRED",
            Self::Deducted => "DEDUCTED",
            Self::Adjusted => "ADJUSTED",
            Self::Set => "SET",
            Self::Discontinued => "DISCONTINUED",
            Self::Reconciled => "RECONCILED",
        }
    }

    /// The reason in a StockUpdated event, for which an expiry is a release, and a correction an
    /// adjustment.
    pub const fn as_event_reason(self) -> &'static str {
        match self {
            Self::Expired => Self::Released.as_str(),
            Self::Reconciled => Self::Adjusted.as_str(),
            other => other.as_str(),
        }
    }
}

/// Where an adjustment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Web,
    Store,
    Marketplace,
}

impl Channel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Store => "store",
            Self::Marketplace => "marketplace",
        }
    }
}

impl FromStr for Channel {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Web, Self::Store, Self::Marketplace]
            .into_iter()
            .find(|channel| channel.as_str() == text)
            .ok_or(UnknownWord {
                expected: "web, store or marketplace",
            })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn counters_never_leave_their_bounds(
            on_hand in 0..100_i64, part in 0..=100_i64, by in any::<i64>(), reserved_by in any::<i64>(),
        ) {
            let before = Counters { on_hand, reserved: on_hand * part / 100, version: 3, ..Counters::EMPTY };
            let movement = Movement { kind: Kind::Adjusted, on_hand: by, reserved: reserved_by };
            if let Ok(after) = before.moved(SkuId(Uuid::nil()), movement) {
                prop_assert!(0 <= after.reserved && after.reserved <= after.on_hand);
                prop_assert_eq!(after.version, 4);
                prop_assert_eq!(after.on_hand - before.on_hand, by);
                prop_assert_eq!(after.reserved - before.reserved, reserved_by);
            }
        }
    }
}
