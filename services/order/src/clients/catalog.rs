use ferrocart_http_kit::{CallError, ServiceClient};
use ferrocart_types::{Money, ProductId, SkuId};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Price {
    pub(crate) sku_id: SkuId,
    pub(crate) product_id: ProductId,
    pub(crate) sku: String,
    pub(crate) title: String,
    #[serde(rename = "price")]
    pub(crate) amount: Money,
    /// `active`, or not for sale.
    status: String,
}

impl Price {
    pub(crate) fn is_for_sale(&self) -> bool {
        self.status == "active"
    }
}

#[derive(Deserialize)]
struct Prices {
    items: Vec<Price>,
}

#[derive(Clone)]
pub(crate) struct CatalogClient {
    http: ServiceClient,
}

impl CatalogClient {
    /// The most SKUs that one call takes.
    pub(crate) const SKUS_MAX: usize = 200;

    pub(crate) fn new(http: ServiceClient) -> Self {
        Self { http }
    }

    /// What the SKUs cost; those that the catalog does not know are left out.
    pub(crate) async fn prices(&self, skus: &[SkuId]) -> Result<Vec<Price>, CallError> {
        let mut prices = Vec::with_capacity(skus.len());
        for skus in skus.chunks(Self::SKUS_MAX) {
            let body = serde_json::json!({ "sku_ids": skus });
            let answer: Prices = self.http.post("/internal/v1/prices", &body).await?;
            prices.extend(answer.items);
        }
        Ok(prices)
    }
}
