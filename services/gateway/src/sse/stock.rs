use std::time::Duration;

use ferrocart_contracts::v1::StockUpdated;
use ferrocart_contracts::{Envelope, Event, Topic};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::feed::Change;

/// In an event and in the inventory's own words.
const DISCONTINUED: &str = "DISCONTINUED";

/// The counters of a SKU, as they are after a change, and as the inventory service answers them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StockChange {
    pub(crate) sku_id: Uuid,
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    pub(crate) available: i64,
    pub(crate) version: i64,
    #[serde(skip)]
    pub(crate) is_discontinued: bool,
}

impl Change for StockChange {
    const NAME: &'static str = "stock";
    const TOPIC: Topic = Topic::Inventory;
    const IS_STATE: bool = true;
    /// A SKU that a crowd wants changes hundreds of times a second: more than anybody can read.
    const PACE: Duration = Duration::from_millis(250);
    /// There are several events for every checkout, and seldom anybody who watches a SKU.
    const LINGER: Option<Duration> = Some(Duration::from_mins(1));

    fn of(envelope: &Envelope, key: Uuid) -> Option<Self> {
        if envelope.event_type != StockUpdated::TYPE {
            return None;
        }
        let updated: StockUpdated = envelope
            .decode()
            .inspect_err(|error| tracing::debug!(%error, "a StockUpdated that cannot be read"))
            .ok()?;
        Some(Self {
            sku_id: key,
            on_hand: updated.on_hand,
            reserved: updated.reserved,
            available: updated.available,
            version: updated.version,
            is_discontinued: updated.reason == DISCONTINUED,
        })
    }

    fn sequence(&self) -> i64 {
        self.version
    }

    fn is_last(&self) -> bool {
        self.is_discontinued
    }
}
