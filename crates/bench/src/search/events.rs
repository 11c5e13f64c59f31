//! The sample catalog as the topics tell it, without a catalog: what the index is made of.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use ferrocart_contracts::v1::{self, ProductUpserted, StockUpdated};
use ferrocart_contracts::{Envelope, Event, timestamp_to_proto};
use ferrocart_kafka_kit::{KafkaSettings, ensure_topics};
use ferrocart_sample_catalog::{Product, categories, generate};
use ferrocart_types::{Clock as _, EventId, IdGen as _, SystemClock, SystemIds, Timestamp};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

const SEED: u64 = 42;
const PARTITIONS: i32 = 12;
/// So many are under way at once.
const CHUNK: usize = 5_000;

/// Topics of their own on the stack's broker.
pub(super) struct Topics {
    settings: KafkaSettings,
    producer: FutureProducer,
    paths: BTreeMap<&'static str, Vec<String>>,
}

pub(super) fn products(count: usize) -> impl Iterator<Item = Product> {
    generate(SEED, count)
}

impl Topics {
    pub(super) async fn create(brokers: &str, prefix: &str) -> Result<Self> {
        let settings = KafkaSettings {
            kafka_brokers: brokers.to_owned(),
            kafka_topic_prefix: prefix.to_owned(),
            kafka_partitions: PARTITIONS,
        };
        ensure_topics(&settings, None).await?;
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("acks", "all")
            .set("linger.ms", "10")
            .create()
            .context("a producer")?;
        let paths = categories().into_iter().map(|category| {
            let parent = category.parent.map(ToOwned::to_owned);
            let path = parent.into_iter().chain([category.slug.to_owned()]);
            (category.slug, path.collect())
        });
        Ok(Self {
            paths: paths.collect(),
            settings,
            producer,
        })
    }

    /// Each product as the catalog would tell it, and its stock as the inventory would, if that is wanted.
    pub(super) async fn publish(&self, count: usize, with_stock: bool) -> Result<()> {
        let now = SystemClock.now();
        let mut waiting = Vec::with_capacity(CHUNK);
        for (number, product) in (0..).zip(products(count)) {
            let event = self.upserted(number, &product, now)?;
            if with_stock {
                let variants = event.product.iter().flat_map(|product| &product.variants);
                for (told, variant) in variants.zip(&product.variants) {
                    let stock = stock(told, variant.on_hand.into());
                    waiting.push(self.send("inventory", &stock, now)?);
                }
            }
            waiting.push(self.send("catalog", &event, now)?);
            if waiting.len() >= CHUNK {
                delivered(&mut waiting).await?;
            }
        }
        delivered(&mut waiting).await
    }

    fn send<E: Event>(
        &self,
        service: &str,
        event: &E,
        now: Timestamp,
    ) -> Result<rdkafka::producer::DeliveryFuture> {
        let envelope = Envelope::new(service, EventId(SystemIds.next()), now, event);
        let mut headers = OwnedHeaders::new();
        for (key, value) in &envelope.headers() {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let topic = format!("{}{}", self.settings.kafka_topic_prefix, E::TOPIC);
        let record = FutureRecord::to(&topic)
            .key(&envelope.subject)
            .payload(envelope.payload.as_ref())
            .headers(headers);
        self.producer
            .send_result(record)
            .map_err(|(error, _)| anyhow!("publish: {error}"))
    }

    fn upserted(&self, number: u32, product: &Product, now: Timestamp) -> Result<ProductUpserted> {
        let path = self.paths.get(product.category);
        let path = path.with_context(|| format!("the category {}", product.category))?;
        let attributes = product.attributes.iter();
        let variants = product.variants.iter().map(|variant| v1::Variant {
            sku_id: SystemIds.next().to_string(),
            sku: variant.sku.clone(),
            options: variant
                .options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            price: Some(v1::Money {
                amount_minor: variant.price.amount_minor,
                currency: variant.price.currency.to_owned(),
            }),
        });
        Ok(ProductUpserted {
            product: Some(v1::Product {
                product_id: SystemIds.next().to_string(),
                merchant_id: SystemIds.next().to_string(),
                handle: product.handle.clone(),
                title: product.title.clone(),
                description: product.description.clone(),
                brand: product.brand.to_owned(),
                category_id: SystemIds.next().to_string(),
                category_path: path.clone(),
                attributes: attributes
                    .map(|(name, value)| ((*name).to_owned(), value.to_string()))
                    .collect(),
                image_url: product
                    .images
                    .first()
                    .map(|image| image.url.clone())
                    .unwrap_or_default(),
                variants: variants.collect(),
                // As reviews would have made them: from 3 to 5 stars, one in four without any.
                rating_hundredths: if number.is_multiple_of(4) {
                    0
                } else {
                    300 + number * 37 % 201
                },
                rating_count: if number.is_multiple_of(4) {
                    0
                } else {
                    1 + number % 50
                },
                status: v1::ProductStatus::Active.into(),
                version: 1,
                created_at: Some(timestamp_to_proto(now)),
                updated_at: Some(timestamp_to_proto(now)),
            }),
        })
    }
}

fn stock(variant: &v1::Variant, on_hand: i64) -> StockUpdated {
    StockUpdated {
        sku_id: variant.sku_id.clone(),
        on_hand,
        reserved: 0,
        available: on_hand,
        version: 1,
        reason: "INITIALIZED".to_owned(),
    }
}

async fn delivered(waiting: &mut Vec<rdkafka::producer::DeliveryFuture>) -> Result<()> {
    for delivery in waiting.drain(..) {
        let outcome = delivery.await.context("the producer ended")?;
        outcome.map_err(|(error, _)| anyhow!("publish: {error}"))?;
    }
    Ok(())
}
