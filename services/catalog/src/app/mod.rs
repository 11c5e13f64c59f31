//! The use cases; each owns its transaction.

pub(crate) mod categories;
pub(crate) mod edit;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod reprice;
pub(crate) mod reviews;
pub(crate) mod save;

use std::sync::Arc;
use std::time::Duration;

use ferrocart_kafka_kit::RelayHandle;
use ferrocart_pg_kit::outbox::{OutboxEvent, Publisher};
use ferrocart_types::{ProductId, ReviewId, SharedClock, SharedIds};
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::cache::{CategoryCache, Pages, ProductCache};
use crate::domain::{Change, ImageSizes, Product, changed};
use crate::store::reviews::Review;

/// A page of the list of products: the category as it was asked for, the brand, below which id, how many.
pub(crate) type ProductsPage = (Option<String>, Option<String>, Option<ProductId>, u32);
/// A page of a product's reviews. The product's version is in it, so that a new review makes new pages.
pub(crate) type ReviewsPage = (ProductId, i64, Option<ReviewId>, u32);

/// What every use case works with.
#[derive(Clone)]
pub(crate) struct Catalog {
    pub(crate) pool: PgPool,
    /// For the prices of many SKUs, whose query is planned once.
    pub(crate) prices: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) publisher: Publisher,
    pub(crate) relay: RelayHandle,
    pub(crate) products: ProductCache,
    pub(crate) categories: CategoryCache,
    pub(crate) product_pages: Pages<ProductsPage, ProductId>,
    pub(crate) review_pages: Pages<ReviewsPage, Review>,
    pub(crate) imports: Arc<Semaphore>,
    pub(crate) exports: Arc<Semaphore>,
    pub(crate) import_idle_timeout: Duration,
    pub(crate) read_deadline: Duration,
    pub(crate) images: Arc<ImageSizes>,
    pub(crate) reviews_need_approval: bool,
}

impl Catalog {
    fn event(&self, product: &Product) -> OutboxEvent {
        match changed(product, self.clock.now()) {
            Change::Upserted(event) => self.publisher.event(&*event),
            Change::Deleted(event) => self.publisher.event(&event),
        }
    }

    /// To be called after the commit: publishes the events at once, and makes readers see the change.
    async fn committed(&self, changes: &[(ProductId, i64)]) {
        if changes.is_empty() {
            return;
        }
        self.product_pages.changed();
        self.rated(changes).await;
    }

    /// As [`Self::committed`], for changes after which a product stands where it stood.
    async fn rated(&self, changes: &[(ProductId, i64)]) {
        self.relay.poke();
        self.products.changed(changes).await;
    }
}
