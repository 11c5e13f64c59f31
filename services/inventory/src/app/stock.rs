use std::collections::HashMap;

use ferrocart_kafka_kit::RelayHandle;
use ferrocart_pg_kit::idempotency::{self, RequestKey, StoredResponse};
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{SharedClock, SharedIds, SkuId, Timestamp, UserId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::admission::Admission;
use crate::app::book::{Actor, Book, Entry};
use crate::app::once::{Answered, claim};
use crate::domain::{Channel, Counters, Kind, Movement};
use crate::error::ServiceError;
use crate::store;

/// The first stock of SKUs.
#[derive(Debug, Clone)]
pub struct Initialisation {
    pub items: Vec<(SkuId, i64)>,
    /// Whose they are, when a merchant gives them.
    pub merchant: Option<UserId>,
}

/// A SKU's counters after an initialisation, and whether it made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    pub sku: SkuId,
    pub counters: Counters,
    pub created: bool,
}

#[derive(Debug, Clone)]
pub struct Adjustment {
    pub sku: SkuId,
    pub delta: i64,
    pub reason: String,
    pub channel: Channel,
}

/// The stock as people change it: few and far between, so each change is a transaction of its own.
#[derive(Clone)]
pub struct StockDesk {
    pub pool: PgPool,
    pub clock: SharedClock,
    pub ids: SharedIds,
    pub relay: RelayHandle,
    pub admission: Admission,
    pub stock_low_threshold: i64,
}

/// How a change is answered; the answer is stored with the change.
pub type Respond = fn(SkuId, Counters) -> StoredResponse;
/// How an initialisation is answered; refusing it here undoes it.
pub type RespondCreated = fn(&[Created]) -> Result<StoredResponse, ServiceError>;

impl StockDesk {
    pub async fn read(&self, skus: &[SkuId]) -> Result<HashMap<SkuId, Counters>, ServiceError> {
        let mut conn = self.pool.acquire().await?;
        let mut stock = store::read_stock(&mut conn, skus).await?;
        stock.retain(|_, counters| !counters.discontinued);
        Ok(stock)
    }

    /// Gives SKUs their first stock, or their first after they were discontinued; others keep theirs. In
    /// the order of the items.
    pub async fn initialise(
        &self,
        first: Initialisation,
        key: Option<RequestKey>,
        actor: Actor,
        respond: RespondCreated,
    ) -> Result<Answered, ServiceError> {
        let (answered, after) = run_tx(&self.pool, "stock.initialise", |conn| {
            let (desk, first, key, actor) = (self.clone(), first.clone(), key.clone(), actor.clone());
            Box::pin(async move {
                let Some(key) = key else {
                    let created = desk.initialise_in(conn, &first, &actor).await?;
                    return respond(&created).map(|response| (Answered::Fresh(response), created));
                };
                let resource = first.items.first().map_or(Uuid::nil(), |(sku, _)| sku.as_uuid());
                if let Some(before) = claim(conn, &key, resource, desk.clock.now()).await? {
                    return Ok((Answered::Replayed(before), Vec::new()));
                }
                let created = desk.initialise_in(conn, &first, &actor).await?;
                let response = respond(&created)?;
                idempotency::complete(conn, &key, &response).await?;
                Ok((Answered::Fresh(response), created))
            })
        })
        .await?;
        self.relay.poke();
        let after: Vec<_> = after.iter().map(|made| (made.sku, made.counters)).collect();
        self.admission.changed(&after);
        Ok(answered)
    }

    async fn initialise_in(
        &self,
        conn: &mut PgConnection,
        first: &Initialisation,
        actor: &Actor,
    ) -> Result<Vec<Created>, ServiceError> {
        let items = first.items.as_slice();
        let now = self.clock.now();
        let mut skus: Vec<SkuId> = items.iter().map(|(sku, _)| *sku).collect();
        skus.sort_unstable();
        skus.dedup();
        store::insert_missing(conn, &skus, now).await?;
        let stock = store::lock_stock(conn, &skus).await?;
        if let Some(merchant) = first.merchant {
            let merchants: Vec<_> = skus.iter().map(|sku| (*sku, merchant)).collect();
            store::learn_merchants(conn, &merchants).await?;
        }
        let mut book = Book::open(&self.ids, now, self.stock_low_threshold, &stock);
        let mut made: HashMap<SkuId, bool> = HashMap::with_capacity(items.len());
        for (sku, on_hand) in items {
            let Some(before) = stock.get(sku) else { continue };
            // A row without a version was made just now; a SKU named twice gets its first figure.
            let fresh = (before.version == 0 || before.discontinued) && !made.contains_key(sku);
            made.entry(*sku).or_insert(fresh);
            if fresh {
                book.enter(*sku, entry(Kind::Initialized, *on_hand), actor)?;
            }
        }
        let (changes, after) = book.close();
        store::apply(conn, &changes, now).await?;
        let after: HashMap<SkuId, Counters> = after.into_iter().collect();
        let answer = items.iter().filter_map(|(sku, _)| {
            after.get(sku).map(|counters| Created {
                sku: *sku,
                counters: *counters,
                created: made.get(sku).copied().unwrap_or(false),
            })
        });
        Ok(answer.collect())
    }

    /// Sets what is on hand. With `version`, only if the SKU is still at it.
    pub async fn set(
        &self,
        sku: SkuId,
        on_hand: i64,
        version: Option<i64>,
        actor: Actor,
    ) -> Result<Counters, ServiceError> {
        self.change("stock.set", sku, version, actor, move |before| {
            entry(Kind::Set, on_hand - before.on_hand)
        })
        .await
    }

    /// Takes a SKU off sale: what is available is written off, what is reserved may still be shipped.
    pub async fn discontinue(&self, sku: SkuId, actor: Actor) -> Result<Counters, ServiceError> {
        self.change("stock.discontinue", sku, None, actor, |before| Entry {
            discontinued: true,
            ..entry(Kind::Discontinued, -before.free())
        })
        .await
    }

    /// Adds or takes units, once for each key.
    pub async fn adjust(
        &self,
        adjustment: Adjustment,
        key: RequestKey,
        actor: Actor,
        respond: Respond,
    ) -> Result<Answered, ServiceError> {
        let sku = adjustment.sku;
        let (answered, after) = run_tx(&self.pool, "stock.adjust", |conn| {
            let (desk, adjustment, key, actor) =
                (self.clone(), adjustment.clone(), key.clone(), actor.clone());
            Box::pin(async move { desk.adjust_in(conn, adjustment, &key, &actor, respond).await })
        })
        .await?;
        self.relay.poke();
        self.admission.changed(after.map(|after| (sku, after)).as_slice());
        Ok(answered)
    }

    async fn adjust_in(
        &self,
        conn: &mut PgConnection,
        adjustment: Adjustment,
        key: &RequestKey,
        actor: &Actor,
        respond: Respond,
    ) -> Result<(Answered, Option<Counters>), ServiceError> {
        if let Some(before) = claim(conn, key, adjustment.sku.as_uuid(), self.clock.now()).await? {
            return Ok((Answered::Replayed(before), None));
        }
        let made = Entry {
            reason: Some(adjustment.reason),
            channel: Some(adjustment.channel),
            ..entry(Kind::Adjusted, adjustment.delta)
        };
        let after = self
            .change_in(conn, adjustment.sku, None, actor, |_| made)
            .await?;
        let response = respond(adjustment.sku, after);
        idempotency::complete(conn, key, &response).await?;
        Ok((Answered::Fresh(response), Some(after)))
    }

    async fn change<M>(
        &self,
        name: &'static str,
        sku: SkuId,
        version: Option<i64>,
        actor: Actor,
        make: M,
    ) -> Result<Counters, ServiceError>
    where
        M: FnOnce(&Counters) -> Entry + Copy + Send + 'static,
    {
        let after = run_tx(&self.pool, name, |conn| {
            let (desk, actor) = (self.clone(), actor.clone());
            Box::pin(async move { desk.change_in(conn, sku, version, &actor, make).await })
        })
        .await?;
        self.relay.poke();
        self.admission.changed(&[(sku, after)]);
        Ok(after)
    }

    async fn change_in(
        &self,
        conn: &mut PgConnection,
        sku: SkuId,
        version: Option<i64>,
        actor: &Actor,
        make: impl FnOnce(&Counters) -> Entry + Send,
    ) -> Result<Counters, ServiceError> {
        let now: Timestamp = self.clock.now();
        let stock = store::lock_stock(conn, &[sku]).await?;
        let before = stock
            .get(&sku)
            .filter(|counters| !counters.discontinued)
            .ok_or(ServiceError::ProductNotFound(vec![sku]))?;
        if let Some(expected) = version.filter(|expected| *expected != before.version) {
            return Err(ServiceError::VersionChanged {
                expected,
                actual: before.version,
            });
        }
        let mut book = Book::open(&self.ids, now, self.stock_low_threshold, &stock);
        book.enter(sku, make(before), actor)?;
        let (changes, after) = book.close();
        store::apply(conn, &changes, now).await?;
        let after = after.into_iter().find(|(changed, _)| *changed == sku);
        after
            .map(|(_, counters)| counters)
            .ok_or(ServiceError::ProductNotFound(vec![sku]))
    }
}

fn entry(kind: Kind, on_hand: i64) -> Entry {
    Entry {
        movement: Movement {
            kind,
            on_hand,
            reserved: 0,
        },
        reason: None,
        channel: None,
        discontinued: false,
    }
}
