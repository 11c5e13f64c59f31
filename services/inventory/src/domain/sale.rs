use std::collections::HashMap;

use ferrocart_types::{SkuId, Timestamp, UserId};
use uuid::Uuid;

/// A flash sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SaleId(pub Uuid);

/// Where a sale is in its life. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SaleState {
    /// Made; the SKU is sold as ever.
    Draft,
    /// Ready: the SKU cannot be bought until the sale starts.
    Preloaded,
    Live,
    /// Over; the SKU is sold as ever.
    Ended,
}

/// What may be asked of a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SaleCommand {
    Preload,
    Start,
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sale that is {} cannot {}", .state.as_str(), .command.as_str())]
pub struct InvalidTransition {
    pub state: SaleState,
    pub command: SaleCommand,
}

impl SaleState {
    pub const ALL: [Self; 4] = [Self::Draft, Self::Preloaded, Self::Live, Self::Ended];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Preloaded => "PRELOADED",
            Self::Live => "LIVE",
            Self::Ended => "ENDED",
        }
    }

    /// None for what cannot be.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The one place that decides what a command does. One that was obeyed before is obeyed again and changes
    /// nothing.
    pub const fn step(self, command: SaleCommand) -> Result<Self, InvalidTransition> {
        match (self, command) {
            (Self::Draft | Self::Preloaded, SaleCommand::Preload) => Ok(Self::Preloaded),
            (Self::Preloaded | Self::Live, SaleCommand::Start) => Ok(Self::Live),
            (_, SaleCommand::Stop) => Ok(Self::Ended),
            (state, command) => Err(InvalidTransition { state, command }),
        }
    }
}

impl SaleCommand {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preload => "be preloaded",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// The sale that a SKU stands under, as far as its stock must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleTerms {
    pub sale: SaleId,
    pub units_per_buyer_max: i64,
    /// Whether it has started.
    pub live: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    pub sale: SaleId,
    pub sku: SkuId,
    pub owner: String,
    pub name: String,
    pub state: SaleState,
    pub units_per_buyer_max: i64,
    /// For how many units buyers may wait in all.
    pub waitlist_units_max: i64,
    /// Over how many keys the counter is spread.
    pub shards: u16,
    pub starts_at: Option<Timestamp>,
    pub ends_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

impl Sale {
    /// What the stock's row says while the sale is in this state.
    pub fn terms(&self, state: SaleState) -> Option<SaleTerms> {
        let live = match state {
            SaleState::Draft | SaleState::Ended => return None,
            SaleState::Preloaded => false,
            SaleState::Live => true,
        };
        Some(SaleTerms {
            sale: self.sale,
            units_per_buyer_max: self.units_per_buyer_max,
            live,
        })
    }
}

/// The sales that the SKUs of a batch stand under, and what their buyers have in them already.
#[derive(Debug, Clone, Default)]
pub struct SaleRules {
    pub sales: HashMap<SkuId, SaleTerms>,
    pub bought: HashMap<(SaleId, UserId), i64>,
}

/// More than one buyer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    pub sku: SkuId,
    pub requested: i64,
    /// What the buyer has in the sale.
    pub bought: i64,
    pub max: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transition_is_as_the_table_says() {
        use SaleCommand::{Preload, Start, Stop};
        use SaleState::{Draft, Ended, Live, Preloaded};
        let table = [
            (Draft, Preload, Some(Preloaded)),
            (Draft, Start, None),
            (Draft, Stop, Some(Ended)),
            (Preloaded, Preload, Some(Preloaded)),
            (Preloaded, Start, Some(Live)),
            (Preloaded, Stop, Some(Ended)),
            (Live, Preload, None),
            (Live, Start, Some(Live)),
            (Live, Stop, Some(Ended)),
            (Ended, Preload, None),
            (Ended, Start, None),
            (Ended, Stop, Some(Ended)),
        ];
        for (state, command, after) in table {
            assert_eq!(state.step(command).ok(), after, "{state:?} {command:?}");
        }
        for state in SaleState::ALL {
            assert_eq!(SaleState::from_stored(state.as_str()), Some(state));
            let rows = table.iter().filter(|(from, _, _)| *from == state);
            assert_eq!(rows.count(), 3, "{state:?} has a row for each command");
        }
    }
}
