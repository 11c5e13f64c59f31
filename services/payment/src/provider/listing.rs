//! The provider's lists: pages of a window of time, the newest first.

use std::collections::HashMap;

use serde::Deserialize;

use super::wire::WireIntent;
use super::{Intent, ListedRefund, Listing, ProviderError, Window};
use crate::domain::IntentId;

/// As many as the provider gives at once.
const PAGE_MAX: &str = "100";

#[derive(Debug, Deserialize)]
pub(super) struct IntentList {
    data: Vec<WireIntent>,
    has_more: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct RefundList {
    data: Vec<WireRefund>,
    has_more: bool,
}

#[derive(Debug, Deserialize)]
struct WireRefund {
    id: String,
    payment_intent: Option<String>,
    status: Option<String>,
    #[serde(default)]
    metadata: Option<HashMap<String, String>>,
}

pub(super) fn page(window: Window, after: Option<&str>) -> Vec<(&'static str, String)> {
    let mut query = vec![
        ("limit", PAGE_MAX.to_owned()),
        ("created[gte]", window.from.timestamp().to_string()),
        ("created[lte]", window.until.timestamp().to_string()),
    ];
    query.extend(after.map(|id| ("starting_after", id.to_owned())));
    query
}

pub(super) fn intents(list: IntentList) -> Result<Listing<Intent>, ProviderError> {
    let last = list.data.last().map(|intent| intent.id.clone());
    let next = last.filter(|_| list.has_more);
    // The account may serve others as well; theirs need not be readable.
    let ours = list.data.into_iter().filter(WireIntent::names_a_payment);
    let items = ours.map(WireIntent::read).collect::<Result<_, _>>()?;
    Ok(Listing { items, next })
}

#[expect(clippy::unnecessary_wraps, reason = "like the reader of intents")]
pub(super) fn refunds(list: RefundList) -> Result<Listing<ListedRefund>, ProviderError> {
    let last = list.data.last().map(|refund| refund.id.clone());
    let next = last.filter(|_| list.has_more);
    let items = list.data.into_iter().filter_map(|refund| {
        let operation_id = refund
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.get("operation_id"))
            .and_then(|id| id.parse().ok());
        Some(ListedRefund {
            intent: IntentId(refund.payment_intent?),
            operation_id,
            stands: !matches!(refund.status.as_deref(), Some("failed" | "canceled")),
        })
    });
    Ok(Listing {
        items: items.collect(),
        next,
    })
}
