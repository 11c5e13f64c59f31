//! Sales that begin or end: a new version of the product, and the event that tells its price.

use ferrocart_http_kit::detached;
use ferrocart_pg_kit::{outbox, run_tx};
use ferrocart_types::ProductId;
use sqlx::PgConnection;

use super::Catalog;
use crate::error::CatalogError;
use crate::store;

/// Products that are told of in one transaction.
const BATCH_MAX: i64 = 100;

/// Tells of price changes that are due; whether there may be more of them. Replicas share the work: each takes
/// products that no other has locked.
pub(crate) async fn reprice(catalog: Catalog) -> Result<bool, CatalogError> {
    detached("product.reprice", async move {
        let changed = run_tx(&catalog.pool, "product.reprice", |conn| {
            let catalog = catalog.clone();
            Box::pin(async move { reprice_in(&catalog, conn).await })
        })
        .await?;
        catalog.committed(&changed).await;
        Ok(i64::try_from(changed.len()).is_ok_and(|count| count == BATCH_MAX))
    })
    .await
}

async fn reprice_in(
    catalog: &Catalog,
    conn: &mut PgConnection,
) -> Result<Vec<(ProductId, i64)>, CatalogError> {
    let now = catalog.clock.now();
    let ids = store::products::lock_repriced(conn, now, BATCH_MAX).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // Loaded after the lock, in a statement of its own.
    let mut products = store::products::by_ids(&mut *conn, &ids).await?;
    let mut events = Vec::with_capacity(products.len());
    for product in &mut products {
        product.version += 1;
        events.push(catalog.event(product));
    }
    store::products::set_price_changes(conn, &products, now).await?;
    outbox::append(conn, &events).await?;
    Ok(products
        .iter()
        .map(|product| (product.id, product.version))
        .collect())
}
