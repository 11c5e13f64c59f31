use std::collections::HashMap;

use ferrocart_types::{SkuId, UserId};
use sqlx::PgPool;

use crate::clients::CatalogClient;
use crate::error::ServiceError;
use crate::store;

/// Keeps merchants to their own SKUs. Whose a SKU is the catalog decides; what it once said stands in
/// the stock's row, for a SKU never changes hands.
#[derive(Clone)]
pub(crate) struct Ownership {
    pub(crate) pool: PgPool,
    pub(crate) catalog: CatalogClient,
}

impl Ownership {
    /// The merchant sells all these SKUs, whether or not there is stock of them.
    pub(crate) async fn of_listed(&self, merchant: UserId, skus: &[SkuId]) -> Result<(), ServiceError> {
        let mut found = self.kept(skus).await?;
        let strange = skus.iter().filter(|sku| !matches!(found.get(sku), Some(Some(_))));
        let mut strange: Vec<SkuId> = strange.copied().collect();
        strange.sort_unstable();
        strange.dedup();
        let told = self.catalog.merchants(&strange).await?;
        let unknown: Vec<SkuId> = strange
            .into_iter()
            .filter(|sku| !told.contains_key(sku))
            .collect();
        if !unknown.is_empty() {
            return Err(ServiceError::NotListed(unknown));
        }
        found.extend(told.into_iter().map(|(sku, merchant)| (sku, Some(merchant))));
        all_of(merchant, skus, &found)
    }

    /// The merchant sells those of these SKUs of which there is stock; there is nothing to be had from the
    /// others.
    pub(crate) async fn of_stocked(&self, merchant: UserId, skus: &[SkuId]) -> Result<(), ServiceError> {
        let mut found = self.kept(skus).await?;
        let strange = found.iter().filter(|(_, merchant)| merchant.is_none());
        let strange: Vec<SkuId> = strange.map(|(sku, _)| *sku).collect();
        let told = self.catalog.merchants(&strange).await?;
        if !told.is_empty() {
            let mut conn = self.pool.acquire().await?;
            let told: Vec<_> = told.iter().map(|(sku, merchant)| (*sku, *merchant)).collect();
            store::learn_merchants(&mut conn, &told).await?;
        }
        found.extend(told.into_iter().map(|(sku, merchant)| (sku, Some(merchant))));
        all_of(merchant, skus, &found)
    }

    /// What the stock's rows say; SKUs without one are missing.
    async fn kept(&self, skus: &[SkuId]) -> Result<HashMap<SkuId, Option<UserId>>, ServiceError> {
        let mut conn = self.pool.acquire().await?;
        Ok(store::merchants(&mut conn, skus).await?)
    }
}

/// A SKU that neither a row nor the catalog gives to anybody is not the merchant's either.
fn all_of(
    merchant: UserId,
    skus: &[SkuId],
    found: &HashMap<SkuId, Option<UserId>>,
) -> Result<(), ServiceError> {
    let foreign = skus.iter().filter(|sku| {
        let of = found.get(sku);
        of.is_some_and(|of| *of != Some(merchant))
    });
    let mut foreign: Vec<SkuId> = foreign.copied().collect();
    foreign.sort_unstable();
    foreign.dedup();
    if foreign.is_empty() {
        Ok(())
    } else {
        Err(ServiceError::NotYours(foreign))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_what_is_surely_the_merchants_passes() {
        let [me, other] = [1, 2].map(|n| UserId(Uuid::from_u128(n)));
        let [mine, foreign, nobodys, absent] = [3, 4, 5, 6].map(|n| SkuId(Uuid::from_u128(n)));
        let found = HashMap::from([(mine, Some(me)), (foreign, Some(other)), (nobodys, None)]);
        assert!(all_of(me, &[mine, absent], &found).is_ok());
        for sku in [foreign, nobodys] {
            let refused = all_of(me, &[mine, sku, sku], &found).unwrap_err();
            assert!(
                matches!(&refused, ServiceError::NotYours(skus) if *skus == [sku]),
                "{refused}"
            );
        }
    }
}
