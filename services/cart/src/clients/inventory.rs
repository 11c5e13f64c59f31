use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ferrocart_http_kit::{CallError, ServiceClient};
use ferrocart_redis_kit::Breaker;
use ferrocart_types::SkuId;
use moka::future::Cache;
use serde::Deserialize;

use super::{OFFERS_MAX, SKUS_A_CALL};

#[derive(Deserialize)]
struct StockAnswer {
    items: Vec<Stock>,
}

#[derive(Deserialize)]
struct Stock {
    sku_id: SkuId,
    available: u64,
}

/// Asks the inventory how many units are left. A hint only: a cart is shown without it when the inventory
/// does not answer.
#[derive(Clone)]
pub(crate) struct InventoryClient {
    http: ServiceClient,
    available: Cache<SkuId, u64>,
    breaker: Arc<Breaker>,
}

impl InventoryClient {
    pub(crate) fn new(http: ServiceClient, good_for: Duration) -> Self {
        let available = Cache::builder()
            .max_capacity(OFFERS_MAX)
            .time_to_live(good_for)
            .build();
        Self {
            http,
            available,
            breaker: Arc::default(),
        }
    }

    /// Units that can be bought, as far as they are known. A SKU without stock has none.
    pub(crate) async fn available(&self, sku_ids: &[SkuId]) -> HashMap<SkuId, u64> {
        let mut available = HashMap::with_capacity(sku_ids.len());
        let mut missing = Vec::new();
        for sku_id in sku_ids {
            match self.available.get(sku_id).await {
                Some(units) => drop(available.insert(*sku_id, units)),
                None => missing.push(*sku_id),
            }
        }
        for sku_ids in missing.chunks(SKUS_A_CALL) {
            if !self.breaker.lets_pass() {
                break;
            }
            match self.ask(sku_ids).await {
                Ok(found) => {
                    self.breaker.succeeded();
                    for sku_id in sku_ids {
                        let units = found.get(sku_id).copied().unwrap_or(0);
                        self.available.insert(*sku_id, units).await;
                        available.insert(*sku_id, units);
                    }
                }
                Err(error) => {
                    self.breaker.failed();
                    tracing::warn!(%error, "carts are shown without what is available");
                    break;
                }
            }
        }
        available
    }

    async fn ask(&self, sku_ids: &[SkuId]) -> Result<HashMap<SkuId, u64>, CallError> {
        let names: Vec<String> = sku_ids.iter().map(SkuId::to_string).collect();
        let path = format!("/v1/inventory?sku_ids={}", names.join(","));
        let answer: StockAnswer = self.http.get(&path).await?;
        Ok(answer
            .items
            .into_iter()
            .map(|stock| (stock.sku_id, stock.available))
            .collect())
    }
}
