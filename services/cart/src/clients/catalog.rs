use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ferrocart_http_kit::{CallError, ServiceClient};
use ferrocart_types::{Money, ProductId, SkuId};
use moka::future::Cache;
use serde::{Deserialize, Serialize};

use super::{OFFERS_MAX, SKUS_A_CALL};
use crate::domain::{Offer, Snapshot};

#[derive(Debug, thiserror::Error)]
pub(crate) enum LookUpError {
    #[error("the catalog does not know the SKU")]
    Unknown,
    #[error("the product is not for sale")]
    NotForSale,
    #[error(transparent)]
    Call(#[from] Arc<CallError>),
}

#[derive(Serialize)]
struct PricesRequest<'a> {
    sku_ids: &'a [SkuId],
}

#[derive(Deserialize)]
struct PricesAnswer {
    items: Vec<PricedSku>,
}

#[derive(Deserialize)]
struct PricedSku {
    sku_id: SkuId,
    product_id: ProductId,
    sku: String,
    title: String,
    price: Money,
    status: String,
}

/// Asks the catalog what a SKU is and costs. Its answer is good for a moment: those who want the same SKU
/// then share it, and the checkout compares with the catalog anyway.
#[derive(Clone)]
pub(crate) struct CatalogClient {
    http: ServiceClient,
    offers: Cache<SkuId, Offer>,
}

impl CatalogClient {
    pub(crate) fn new(http: ServiceClient, good_for: Duration) -> Self {
        let offers = Cache::builder()
            .max_capacity(OFFERS_MAX)
            .time_to_live(good_for)
            .build();
        Self { http, offers }
    }

    /// What the SKU is, if it may be bought.
    pub(crate) async fn look_up(&self, sku_id: SkuId) -> Result<Snapshot, LookUpError> {
        let offer = self
            .offers
            .try_get_with(sku_id, async {
                let mut found = self.ask(&[sku_id]).await?;
                Ok(found.remove(&sku_id).unwrap_or(Offer::Unknown))
            })
            .await?;
        match offer {
            Offer::ForSale(snapshot) => Ok(snapshot),
            Offer::NotForSale => Err(LookUpError::NotForSale),
            Offer::Unknown => Err(LookUpError::Unknown),
        }
    }

    /// What these SKUs are.
    pub(crate) async fn offers(&self, sku_ids: &[SkuId]) -> Result<HashMap<SkuId, Offer>, CallError> {
        let mut offers = HashMap::with_capacity(sku_ids.len());
        let mut missing = Vec::new();
        for sku_id in sku_ids {
            match self.offers.get(sku_id).await {
                Some(offer) => drop(offers.insert(*sku_id, offer)),
                None => missing.push(*sku_id),
            }
        }
        for sku_ids in missing.chunks(SKUS_A_CALL) {
            let mut found = self.ask(sku_ids).await?;
            for sku_id in sku_ids {
                let offer = found.remove(sku_id).unwrap_or(Offer::Unknown);
                self.offers.insert(*sku_id, offer.clone()).await;
                offers.insert(*sku_id, offer);
            }
        }
        Ok(offers)
    }

    async fn ask(&self, sku_ids: &[SkuId]) -> Result<HashMap<SkuId, Offer>, CallError> {
        let request = PricesRequest { sku_ids };
        let answer: PricesAnswer = self.http.post("/internal/v1/prices", &request).await?;
        Ok(answer.items.into_iter().map(offer).collect())
    }
}

fn offer(found: PricedSku) -> (SkuId, Offer) {
    let offer = if found.status == "active" {
        Offer::ForSale(Snapshot {
            product_id: found.product_id,
            sku: found.sku,
            title: found.title,
            unit_price: found.price,
            previous_unit_price: None,
        })
    } else {
        Offer::NotForSale
    };
    (found.sku_id, offer)
}
