use std::time::Duration;

use ferrocart_http_kit::{CallError, ServiceClient, TokenIssuer};
use ferrocart_types::{Money, ProductId, SkuId};
use serde::{Deserialize, Serialize};

use crate::domain::Snapshot;

#[derive(Debug, thiserror::Error)]
pub(crate) enum LookUpError {
    #[error("the catalog does not know the SKU")]
    Unknown,
    #[error("the product is not for sale")]
    NotForSale,
    #[error(transparent)]
    Call(#[from] CallError),
}

#[derive(Serialize)]
struct PricesRequest {
    sku_ids: [SkuId; 1],
}

#[derive(Deserialize)]
struct PricesAnswer {
    items: Vec<PricedSku>,
}

#[derive(Deserialize)]
struct PricedSku {
    product_id: ProductId,
    sku: String,
    title: String,
    price: Money,
    status: String,
}

/// Asks the catalog what a SKU is and costs.
#[derive(Clone)]
pub(crate) struct CatalogClient {
    http: ServiceClient,
}

impl CatalogClient {
    pub(crate) fn new(base_url: &str, issuer: TokenIssuer, timeout: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            http: ServiceClient::new("catalog", base_url, issuer, timeout)?,
        })
    }

    pub(crate) async fn look_up(&self, sku_id: SkuId) -> Result<Snapshot, LookUpError> {
        let request = PricesRequest { sku_ids: [sku_id] };
        let answer: PricesAnswer = self.http.post("/internal/v1/prices", &request).await?;
        let found = answer.items.into_iter().next().ok_or(LookUpError::Unknown)?;
        if found.status != "active" {
            return Err(LookUpError::NotForSale);
        }
        Ok(Snapshot {
            product_id: found.product_id,
            sku: found.sku,
            title: found.title,
            unit_price: found.price,
        })
    }
}
