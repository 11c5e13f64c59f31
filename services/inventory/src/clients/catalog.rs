use std::collections::HashMap;
use std::time::Duration;

use ferrocart_http_kit::{CallError, ServiceClient, TokenIssuer};
use ferrocart_types::{SkuId, UserId};
use serde::{Deserialize, Serialize};

/// The most SKUs that the catalog takes in one call.
const SKUS_MAX: usize = 200;

#[derive(Serialize)]
struct PricesRequest<'a> {
    sku_ids: &'a [SkuId],
}

#[derive(Deserialize)]
struct PricesAnswer {
    items: Vec<OwnedSku>,
}

/// Drafts have stock as well: the status does not matter here.
#[derive(Deserialize)]
struct OwnedSku {
    sku_id: SkuId,
    merchant_id: UserId,
}

/// Asks the catalog whose SKUs they are.
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

    /// The merchant of each SKU; SKUs that the catalog does not know are missing from the answer.
    pub(crate) async fn merchants(&self, skus: &[SkuId]) -> Result<HashMap<SkuId, UserId>, CallError> {
        let mut merchants = HashMap::with_capacity(skus.len());
        for sku_ids in skus.chunks(SKUS_MAX) {
            let request = PricesRequest { sku_ids };
            let answer: PricesAnswer = self.http.post("/internal/v1/prices", &request).await?;
            merchants.extend(
                answer
                    .items
                    .into_iter()
                    .map(|item| (item.sku_id, item.merchant_id)),
            );
        }
        Ok(merchants)
    }
}
