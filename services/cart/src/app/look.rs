use ferrocart_types::SkuId;

use crate::clients::{CatalogClient, InventoryClient};
use crate::domain::{Cart, CartStatus, Hints, Line, Offer, Snapshot};
use crate::store::{CartStore, ChangeError};

/// The cart as its owner looks at it: with the prices of today, and with what is left of each SKU. A changed
/// price is taken over, and told until the buyer changes the line. Neighbours that do not answer cost
/// the hints, not the cart.
pub(crate) async fn look(
    store: &CartStore,
    catalog: &CatalogClient,
    inventory: &InventoryClient,
    cart: Cart,
) -> Result<(Cart, Hints), ChangeError> {
    let skus: Vec<SkuId> = cart.lines.keys().copied().collect();
    if skus.is_empty() {
        return Ok((cart, Hints::default()));
    }
    let (offers, available) = tokio::join!(catalog.offers(&skus), inventory.available(&skus));
    let hints = Hints {
        offers: offers.unwrap_or_else(|error| {
            tracing::warn!(%error, "a cart is shown with the prices that it had");
            std::collections::HashMap::new()
        }),
        available,
        left_out: Vec::new(),
    };
    if cart.status != CartStatus::Active {
        return Ok((cart, hints));
    }
    let changed: Vec<(&Line, Snapshot)> = cart
        .lines
        .values()
        .filter_map(|line| match hints.offers.get(&line.sku_id) {
            Some(Offer::ForSale(today)) => Some((line, line.snapshot.repriced(today)?)),
            _ => None,
        })
        .collect();
    if changed.is_empty() {
        return Ok((cart, hints));
    }
    let refreshed = store.refresh(cart.id, &changed).await?;
    Ok((refreshed, hints))
}
