use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use ferrocart_contracts::Envelope;
use ferrocart_kafka_kit::{BatchHandler, HandleError, Received};
use ferrocart_pg_kit::{StoreError, inbox, run_tx};
use ferrocart_types::{EventId, ProductId, SharedClock, SharedIds, SkuId, UserId};
use serde_json::Value;
use sqlx::PgPool;

use super::merchant_news::{News, body, merchant_news};
use crate::domain::{Endpoint, EventType, NewMessage};
use crate::store::{self, Owned};
use crate::workers::WorkHandle;

/// Turns events into messages for the merchants that they are about.
pub(crate) struct MerchantEvents {
    pub(crate) pool: PgPool,
    pub(crate) group: &'static str,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) courier: WorkHandle,
    /// How long an event waits for the catalog's event that says whose the product is.
    pub(crate) owner_wait: Duration,
}

type Told<'a> = (&'a Envelope, News);

/// Whose things are, of one batch.
struct Owners {
    products: HashMap<ProductId, UserId>,
    skus: HashMap<SkuId, (ProductId, UserId)>,
}

#[async_trait]
impl BatchHandler for MerchantEvents {
    async fn handle_batch(&self, events: &[Received]) -> Result<(), HandleError> {
        let mut told: Vec<Told<'_>> = Vec::new();
        let mut seen = HashSet::new();
        // The inbox tells one batch from another, not an event that stands in one twice.
        for event in events.iter().filter(|event| seen.insert(event.envelope.id)) {
            let news = merchant_news(&event.envelope).map_err(|error| HandleError::Reject(error.into()))?;
            told.extend(news.map(|news| (&event.envelope, news)));
        }
        if told.is_empty() {
            return Ok(());
        }
        self.remember(&told).await.map_err(refused)?;
        if !store::any_enabled(&self.pool).await.map_err(refused)? {
            return Ok(());
        }
        let owners = self.owners(&told).await.map_err(refused)?;
        self.wait_for_owners(&told, &owners)?;
        let messages = self.messages(&told, &owners).await.map_err(refused)?;
        if messages.is_empty() {
            return Ok(());
        }
        let recorded = self.record(&messages).await.map_err(refused)?;
        if recorded > 0 {
            metrics::counter!("webhook_messages_total").increment(recorded);
            self.courier.poke();
        }
        Ok(())
    }
}

impl MerchantEvents {
    /// Whose the products are, even while nobody wants to be told: somebody may later.
    async fn remember(&self, told: &[Told<'_>]) -> Result<(), StoreError> {
        let products: Vec<Owned> = told
            .iter()
            .filter_map(|(_, news)| match news {
                News::Product { owned, .. } => Some(owned.clone()),
                _ => None,
            })
            .collect();
        if products.is_empty() {
            return Ok(());
        }
        run_tx(&self.pool, "remember_products", |conn| {
            let products = products.clone();
            Box::pin(async move { store::remember_products(conn, &products).await })
        })
        .await
    }

    async fn owners(&self, told: &[Told<'_>]) -> Result<Owners, StoreError> {
        let (mut products, mut skus) = (Vec::new(), Vec::new());
        for (_, news) in told {
            match news {
                News::Product { owned, .. } => products.push(owned.product_id),
                News::ProductDeleted { product_id, .. } => products.push(*product_id),
                News::Order(order) => products.extend(order.products()),
                News::StockLow { sku_id, .. } => skus.push(*sku_id),
            }
        }
        Ok(Owners {
            products: store::owners_of_products(&self.pool, &products).await?,
            skus: store::owners_of_skus(&self.pool, &skus).await?,
        })
    }

    /// The catalog's events are read by a group of their own, so that they do not wait along. The event of an order may
    /// be here before that of its product. Younger ones wait for it; older ones are of products that the catalog does not
    /// tell of any more.
    fn wait_for_owners(&self, told: &[Told<'_>], owners: &Owners) -> Result<(), HandleError> {
        let wait = TimeDelta::from_std(self.owner_wait).unwrap_or(TimeDelta::MAX);
        let now = self.clock.now();
        for (envelope, news) in told {
            let known = match news {
                // What was before it, was before it on the same partition, if it still is there at all.
                News::Product { .. } | News::ProductDeleted { .. } => true,
                News::Order(order) => order.products().iter().all(|id| owners.products.contains_key(id)),
                News::StockLow { sku_id, .. } => owners.skus.contains_key(sku_id),
            };
            if known {
                continue;
            }
            if now - envelope.time < wait {
                let error = anyhow::anyhow!("event {}: whose it is, is not known yet", envelope.id);
                return Err(HandleError::Wait(error));
            }
            metrics::counter!("webhook_events_without_owner_total").increment(1);
            tracing::debug!(event.id = %envelope.id, "nobody knows whose this is");
        }
        Ok(())
    }

    async fn messages(
        &self,
        told: &[Told<'_>],
        owners: &Owners,
    ) -> Result<Vec<(EventId, NewMessage)>, StoreError> {
        let parts: Vec<(&Envelope, UserId, EventType, Value)> = told
            .iter()
            .flat_map(|(envelope, news)| {
                let parts = parts(news, owners);
                parts
                    .into_iter()
                    .map(|(merchant, event, data)| (*envelope, merchant, event, data))
            })
            .collect();
        let merchants: BTreeSet<uuid::Uuid> =
            parts.iter().map(|(_, merchant, ..)| merchant.as_uuid()).collect();
        let merchants: Vec<UserId> = merchants.into_iter().map(UserId).collect();
        let endpoints = store::enabled_endpoints(&self.pool, &merchants).await?;
        let mut messages = Vec::new();
        for (envelope, merchant_id, event_type, data) in parts {
            let wanted = |endpoint: &&Endpoint| {
                endpoint.merchant_id == merchant_id && endpoint.wants(event_type, envelope.time)
            };
            let deliveries: Vec<_> = endpoints
                .iter()
                .filter(wanted)
                .map(|endpoint| (self.ids.next(), endpoint.id))
                .collect();
            if deliveries.is_empty() {
                continue;
            }
            let message = NewMessage {
                message_id: self.ids.next(),
                merchant_id,
                event_type,
                body: body(event_type, envelope.time, &data),
                traceparent: envelope.traceparent.clone(),
                created_at: self.clock.now(),
                deliveries,
            };
            messages.push((envelope.id, message));
        }
        Ok(messages)
    }

    /// The inbox rows and the messages, or none of them. Answers how many messages were recorded.
    async fn record(&self, messages: &[(EventId, NewMessage)]) -> Result<u64, StoreError> {
        let (group, now) = (self.group, self.clock.now());
        run_tx(&self.pool, "tell_merchants", |conn| {
            let messages = messages.to_vec();
            Box::pin(async move {
                // An event may lead to several messages.
                let ids: Vec<EventId> = messages.iter().map(|(event, _)| *event).collect();
                let fresh = inbox::record_many(conn, group, &ids, now).await?;
                let new: Vec<&NewMessage> = messages
                    .iter()
                    .filter(|(event, _)| fresh.contains(event))
                    .map(|(_, message)| message)
                    .collect();
                store::insert_messages(conn, &new).await?;
                Ok(u64::try_from(new.len()).unwrap_or(u64::MAX))
            })
        })
        .await
    }
}

/// Who is told what.
fn parts(news: &News, owners: &Owners) -> Vec<(UserId, EventType, Value)> {
    match news {
        News::Product { owned, data } => {
            vec![(owned.merchant_id, EventType::ProductUpdated, data.clone())]
        }
        News::ProductDeleted { product_id, data } => owners
            .products
            .get(product_id)
            .map(|merchant| (*merchant, EventType::ProductDeleted, data.clone()))
            .into_iter()
            .collect(),
        News::StockLow { sku_id, data } => owners
            .skus
            .get(sku_id)
            .map(|(product, merchant)| {
                let mut data = data.clone();
                data.insert("product_id".to_owned(), Value::String(product.to_string()));
                (*merchant, EventType::StockLow, Value::Object(data))
            })
            .into_iter()
            .collect(),
        News::Order(order) => {
            let mut merchants: Vec<UserId> = Vec::new();
            for product in order.products() {
                let owner = owners.products.get(product);
                if let Some(owner) = owner.filter(|owner| !merchants.contains(owner)) {
                    merchants.push(*owner);
                }
            }
            let part = |merchant: UserId| {
                let data = order.data_for(merchant, |product| owners.products.get(&product).copied());
                (merchant, order.event_type, data)
            };
            merchants.into_iter().map(part).collect()
        }
    }
}

fn refused(error: StoreError) -> HandleError {
    let unavailable = error.is_unavailable();
    let error = anyhow::Error::from(error).context("telling merchants");
    if unavailable {
        HandleError::Wait(error)
    } else {
        HandleError::Reject(error)
    }
}
