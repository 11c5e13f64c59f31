use ferrocart_http_kit::{CallError, ServiceClient};
use ferrocart_types::{Money, OrderId, Quantity, SkuId};
use serde::Deserialize;

use crate::domain::CartId;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Cart {
    pub(crate) items: Vec<CartItem>,
    pub(crate) status: CartStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum CartStatus {
    Active,
    CheckedOut,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct CartItem {
    pub(crate) sku_id: SkuId,
    pub(crate) quantity: Quantity,
    /// What the buyer was shown.
    pub(crate) unit_price: Money,
}

#[derive(Clone)]
pub(crate) struct CartClient {
    http: ServiceClient,
}

impl CartClient {
    pub(crate) fn new(http: ServiceClient) -> Self {
        Self { http }
    }

    /// `None` for a cart that does not exist: nothing was ever put into it.
    pub(crate) async fn read(&self, cart: CartId) -> Result<Option<Cart>, CallError> {
        match self.http.get(&format!("/internal/v1/carts/{cart}")).await {
            Err(error) if error.status() == Some(404) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    pub(crate) async fn mark_checked_out(&self, cart: CartId, order: OrderId) -> Result<(), CallError> {
        let path = format!("/internal/v1/carts/{cart}/checked-out");
        let body = serde_json::json!({ "order_id": order });
        self.http.post::<serde::de::IgnoredAny>(&path, &body).await?;
        Ok(())
    }
}
