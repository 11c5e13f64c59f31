//! The payment provider's books, by the API that Stripe and the sandbox share.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::DateTime;
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use uuid::Uuid;

use super::rows::{Intent, IntentState};
use crate::sort::Sorter;
use crate::target::Provider;

const API_VERSION: &str = "2025-03-31.basil";
const PAGE_ROWS: &str = "100";
const TIMEOUT: Duration = Duration::from_secs(30);
const TRIES_MAX: u32 = 5;
const WAIT_MIN: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize)]
struct Page {
    data: Vec<WireIntent>,
    has_more: bool,
}

#[derive(Debug, Deserialize)]
struct WireIntent {
    id: String,
    status: String,
    created: i64,
    #[serde(default)]
    amount_capturable: i64,
    #[serde(default)]
    amount_received: i64,
    #[serde(default)]
    metadata: HashMap<String, String>,
    latest_charge: Option<WireCharge>,
}

#[derive(Debug, Deserialize)]
struct WireCharge {
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    amount_captured: i64,
    #[serde(default)]
    amount_refunded: i64,
}

impl WireCharge {
    /// What of the capture went back. The provider counts what it let go of an authorization as well.
    fn refunded_minor(&self) -> i64 {
        match self.amount_captured {
            0 => 0,
            captured => (self.amount_refunded - (self.amount - captured)).max(0),
        }
    }
}

/// All intents by order, and those that hold or took money and name no order.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) of_orders: Sorter<Intent>,
    pub(crate) of_nobody: Vec<String>,
}

/// Intents of nobody that are told of.
const OF_NOBODY_MAX: usize = 1_000;

/// Reads all intents, the newest first; those that are made meanwhile are not among them.
pub(crate) async fn read(provider: &Provider, mut progress: impl FnMut(u64)) -> Result<Ledger> {
    let http = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("make an HTTP client")?;
    let mut ledger = Ledger {
        of_orders: Sorter::new(),
        of_nobody: Vec::new(),
    };
    let mut after: Option<String> = None;
    loop {
        let page = page(&http, provider, after.as_deref()).await?;
        after = page.data.last().map(|intent| intent.id.clone());
        for wire in page.data {
            ledger.add(wire)?;
        }
        progress(ledger.of_orders.len());
        if !page.has_more || after.is_none() {
            return Ok(ledger);
        }
    }
}

impl Ledger {
    fn add(&mut self, wire: WireIntent) -> Result<()> {
        let order: Option<Uuid> = wire.metadata.get("order_id").and_then(|id| id.parse().ok());
        let intent = Intent {
            state: match wire.status.as_str() {
                "requires_capture" => IntentState::RequiresCapture,
                "succeeded" => IntentState::Succeeded,
                "canceled" => IntentState::Canceled,
                _ => IntentState::Other,
            },
            id: wire.id,
            capturable_minor: wire.amount_capturable,
            received_minor: wire.amount_received,
            refunded_minor: wire.latest_charge.map_or(0, |charge| charge.refunded_minor()),
            created: DateTime::from_timestamp(wire.created, 0).context("the time of an intent")?,
        };
        match order {
            Some(order) => self.of_orders.push(order, self.of_orders.len(), intent)?,
            None if intent.holds_or_took_money() && self.of_nobody.len() < OF_NOBODY_MAX => {
                self.of_nobody.push(intent.id);
            }
            None => {}
        }
        Ok(())
    }
}

/// One page; a provider that is busy is asked again.
async fn page(http: &reqwest::Client, provider: &Provider, after: Option<&str>) -> Result<Page> {
    let mut query = vec![("limit", PAGE_ROWS), ("expand[]", "data.latest_charge")];
    query.extend(after.map(|id| ("starting_after", id)));
    let url = format!("{}/v1/payment_intents", provider.url.trim_end_matches('/'));
    let mut wait = WAIT_MIN;
    for tries in 1.. {
        let answer = http
            .get(&url)
            .query(&query)
            .bearer_auth(provider.api_key.expose_secret())
            .header("stripe-version", API_VERSION)
            .send()
            .await;
        let failure = match answer {
            Ok(answer) if answer.status().is_success() => {
                return answer
                    .json()
                    .await
                    .context("the provider's answer cannot be read");
            }
            Ok(answer) => {
                let status = answer.status();
                if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS {
                    bail!("the payment provider answers {status}");
                }
                anyhow::anyhow!("it answers {status}")
            }
            Err(error) => error.without_url().into(),
        };
        if tries >= TRIES_MAX {
            return Err(failure).context("the payment provider does not let its books be read");
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    bail!("the payment provider was not asked")
}
