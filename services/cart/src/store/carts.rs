use std::sync::LazyLock;

use ferrocart_redis_kit::deadpool_redis::redis::{self, Script};
use ferrocart_redis_kit::{CallError, Redis};
use ferrocart_types::{OrderId, Quantity, SkuId};
use uuid::Uuid;

use super::hash::{self, CorruptCart};
use crate::config::CartLimits;
use crate::domain::{Cart, CartId, Line, Snapshot};

static CHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/change.lua")));
static MERGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/merge.lua")));
static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/take.lua")));
static DELIVERED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/delivered.lua")));
static REFRESH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/refresh.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/settle.lua")));

#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("the cart is being checked out")]
    CheckedOut,
    #[error("this Idempotency-Key came with another SKU or quantity before")]
    KeyReused,
    #[error("the SKU is not in the cart")]
    NoLine,
    #[error("a cart holds at most {0} different SKUs")]
    TooManyLines(u16),
    #[error("a cart holds at most {0} units of one SKU")]
    TooManyUnits(u16),
    #[error(transparent)]
    Redis(#[from] CallError),
    #[error(transparent)]
    Corrupt(#[from] CorruptCart),
    #[error("a script answered `{0}`")]
    Unexpected(String),
}

/// How long a retry of an addition is known as one.
const KEYS_TTL_SECONDS: u32 = 24 * 60 * 60;

/// A cart after an addition.
#[derive(Debug)]
pub(crate) struct Added {
    pub(crate) cart: Cart,
    /// The same was asked for under the same key before; nothing was added now.
    pub(crate) replayed: bool,
}

/// What is done to a line, or to all of them.
struct Change<'a> {
    action: &'static str,
    sku: Option<SkuId>,
    quantity: Option<Quantity>,
    snapshot: Option<&'a Snapshot>,
    /// An addition with this key is made once.
    key: Option<&'a str>,
}

/// A merge delivers what others have packed, and then its own.
const PARCELS_A_MERGE: u32 = 4;

/// A user's cart after a merge.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) cart: Cart,
    /// What did not fit, whole or in part.
    pub(crate) left_out: Vec<SkuId>,
}

/// Lines of a guest on their way to a user.
struct Parcel {
    id: String,
    user: Uuid,
    /// SKU, line, SKU, line, ... as they are stored.
    lines: Vec<String>,
}

/// Every change is one script: one round trip, and no update of another device is lost.
#[derive(Debug, Clone)]
pub(crate) struct CartStore {
    redis: Redis,
    limits: CartLimits,
}

impl CartStore {
    pub(crate) fn new(redis: Redis, limits: CartLimits) -> Self {
        Self { redis, limits }
    }

    /// Reading counts as activity: the cart's time begins anew.
    pub(crate) async fn read(&self, id: CartId) -> Result<Cart, ChangeError> {
        let (key, ttl) = (key(id), i64::from(self.ttl(id)));
        let fields: Vec<(String, String)> = self
            .redis
            .call("cart.read", |mut connection| async move {
                let (fields, _): (Vec<(String, String)>, bool) = redis::pipe()
                    .hgetall(&key)
                    .expire(&key, ttl)
                    .query_async(&mut connection)
                    .await?;
                Ok(fields)
            })
            .await?;
        Ok(hash::cart(id, &fields)?)
    }

    pub(crate) async fn add(
        &self,
        id: CartId,
        sku: SkuId,
        quantity: Quantity,
        snapshot: &Snapshot,
        key: Option<&str>,
    ) -> Result<Added, ChangeError> {
        let change = Change {
            action: "add",
            sku: Some(sku),
            quantity: Some(quantity),
            snapshot: Some(snapshot),
            key,
        };
        let mut answer = self.change(id, &change).await?;
        let replayed = answer.first().is_some_and(|outcome| outcome == "REPLAYED");
        if let Some(outcome) = answer.first_mut().filter(|_| replayed) {
            "OK".clone_into(outcome);
        }
        Ok(Added {
            cart: self.answered(id, answer)?,
            replayed,
        })
    }

    /// Sets the quantity of a line that is there, and its snapshot anew.
    pub(crate) async fn set(
        &self,
        id: CartId,
        sku: SkuId,
        quantity: Quantity,
        snapshot: &Snapshot,
    ) -> Result<Cart, ChangeError> {
        let change = Change {
            action: "set",
            sku: Some(sku),
            quantity: Some(quantity),
            snapshot: Some(snapshot),
            key: None,
        };
        self.answered(id, self.change(id, &change).await?)
    }

    pub(crate) async fn remove(&self, id: CartId, sku: SkuId) -> Result<Cart, ChangeError> {
        self.take_out(id, "remove", Some(sku)).await
    }

    pub(crate) async fn clear(&self, id: CartId) -> Result<Cart, ChangeError> {
        self.take_out(id, "clear", None).await
    }

    async fn take_out(
        &self,
        id: CartId,
        action: &'static str,
        sku: Option<SkuId>,
    ) -> Result<Cart, ChangeError> {
        let change = Change {
            action,
            sku,
            quantity: None,
            snapshot: None,
            key: None,
        };
        self.answered(id, self.change(id, &change).await?)
    }

    /// Gives these lines today's snapshots, unless somebody changed them meanwhile.
    pub(crate) async fn refresh(&self, id: CartId, lines: &[(&Line, Snapshot)]) -> Result<Cart, ChangeError> {
        let mut invocation = REFRESH.prepare_invoke();
        invocation.key(key(id)).arg(self.ttl(id));
        for (line, today) in lines {
            let read = line.snapshot.unit_price;
            invocation
                .arg(line.sku_id.to_string())
                .arg(read.amount_minor)
                .arg(read.currency.to_string())
                .arg(json(today));
        }
        let answer = self
            .redis
            .call("cart.refresh", |mut connection| async move {
                invocation.invoke_async(&mut connection).await
            })
            .await?;
        self.answered(id, answer)
    }

    /// Moves what is in the guest's cart into the user's; `parcel` is a fresh id. Each step may be repeated
    /// after a crash: the lines wait in the guest's cart, packed for the user, until they have arrived,
    /// and the user's cart knows the parcels that it got.
    pub(crate) async fn merge(&self, user: Uuid, guest: Uuid, parcel: Uuid) -> Result<Merged, ChangeError> {
        let mut left_out = Vec::new();
        for _ in 0..PARCELS_A_MERGE {
            let Some(taken) = self.take(guest, user, parcel).await? else {
                break;
            };
            let merged = self.deliver(&taken).await?;
            self.delivered(guest, &taken.id).await?;
            if taken.user == user {
                left_out.extend(merged.left_out);
            }
            // Its id is used up: a second parcel under it would pass for the first.
            if taken.id == parcel.to_string() {
                break;
            }
        }
        let cart = self.read(CartId::User(user)).await?;
        Ok(Merged { cart, left_out })
    }

    /// What is to be delivered: a parcel that did not arrive before, or else a new one.
    async fn take(&self, guest: Uuid, user: Uuid, parcel: Uuid) -> Result<Option<Parcel>, ChangeError> {
        let from = CartId::Guest(guest);
        let mut invocation = TAKE.prepare_invoke();
        invocation
            .key(key(from))
            .arg(self.ttl(from))
            .arg(parcel.to_string())
            .arg(user.to_string());
        let answer: Vec<String> = self
            .redis
            .call("cart.take", |mut connection| async move {
                invocation.invoke_async(&mut connection).await
            })
            .await?;
        let mut answer = answer.into_iter();
        let outcome = answer.next().unwrap_or_default();
        match outcome.as_str() {
            "EMPTY" => return Ok(None),
            "CHECKED_OUT" => return Err(ChangeError::CheckedOut),
            "OK" => {}
            _ => return Err(ChangeError::Unexpected(outcome)),
        }
        let (Some(id), Some(user)) = (answer.next(), answer.next()) else {
            return Err(ChangeError::Unexpected("a parcel without a name".to_owned()));
        };
        let user = user
            .parse()
            .map_err(|_| ChangeError::Unexpected(format!("a parcel for `{user}`")))?;
        Ok(Some(Parcel {
            id,
            user,
            lines: answer.collect(),
        }))
    }

    async fn deliver(&self, taken: &Parcel) -> Result<Merged, ChangeError> {
        let into = CartId::User(taken.user);
        let mut invocation = MERGE.prepare_invoke();
        invocation
            .key(key(into))
            .arg(self.ttl(into))
            .arg(self.limits.lines_max)
            .arg(self.limits.quantity_max)
            .arg(&taken.id);
        for part in &taken.lines {
            invocation.arg(part);
        }
        let mut answer: Vec<String> = self
            .redis
            .call("cart.merge", |mut connection| async move {
                invocation.invoke_async(&mut connection).await
            })
            .await?;
        let left_out = if answer.len() > 1 {
            answer.remove(1)
        } else {
            String::new()
        };
        Ok(Merged {
            cart: self.answered(into, answer)?,
            left_out: left_out.split(',').filter_map(|sku| sku.parse().ok()).collect(),
        })
    }

    async fn delivered(&self, guest: Uuid, parcel: &str) -> Result<(), ChangeError> {
        let mut invocation = DELIVERED.prepare_invoke();
        invocation.key(key(CartId::Guest(guest))).arg(parcel);
        self.redis
            .call("cart.delivered", |mut connection| async move {
                invocation.invoke_async::<()>(&mut connection).await
            })
            .await?;
        Ok(())
    }

    /// The order's checkout is under way: nothing may be changed until it ends.
    pub(crate) async fn mark_checked_out(&self, id: CartId, order: OrderId) -> Result<Cart, ChangeError> {
        self.settle(id, "mark", order).await
    }

    /// The order stands: its cart is emptied.
    pub(crate) async fn confirmed(&self, id: CartId, order: OrderId) -> Result<Cart, ChangeError> {
        self.settle(id, "confirmed", order).await
    }

    /// The order is off: its cart is the buyer's again, as it was.
    pub(crate) async fn cancelled(&self, id: CartId, order: OrderId) -> Result<Cart, ChangeError> {
        self.settle(id, "cancelled", order).await
    }

    async fn change(&self, id: CartId, change: &Change<'_>) -> Result<Vec<String>, ChangeError> {
        let mut invocation = CHANGE.prepare_invoke();
        invocation.key(key(id));
        if let Some(idempotency_key) = change.key {
            invocation.key(format!("{}:added:{idempotency_key}", key(id)));
        }
        invocation
            .arg(self.ttl(id))
            .arg(self.limits.lines_max)
            .arg(self.limits.quantity_max)
            .arg(change.action)
            .arg(change.sku.map(|sku| sku.to_string()).unwrap_or_default())
            .arg(change.quantity.map_or(0, Quantity::get))
            .arg(change.snapshot.map(json).unwrap_or_default())
            .arg(KEYS_TTL_SECONDS);
        let answer = self
            .redis
            .call("cart.change", |mut connection| async move {
                invocation.invoke_async(&mut connection).await
            })
            .await?;
        Ok(answer)
    }

    async fn settle(&self, id: CartId, action: &'static str, order: OrderId) -> Result<Cart, ChangeError> {
        let mut invocation = SETTLE.prepare_invoke();
        invocation
            .key(key(id))
            .arg(self.ttl(id))
            .arg(action)
            .arg(order.to_string());
        let answer = self
            .redis
            .call("cart.settle", |mut connection| async move {
                invocation.invoke_async(&mut connection).await
            })
            .await?;
        self.answered(id, answer)
    }

    /// A script's answer: the outcome, then the hash as it stands.
    fn answered(&self, id: CartId, answer: Vec<String>) -> Result<Cart, ChangeError> {
        let mut answer = answer.into_iter();
        let outcome = answer.next().unwrap_or_default();
        match outcome.as_str() {
            "OK" => {}
            "CHECKED_OUT" => return Err(ChangeError::CheckedOut),
            "KEY_REUSED" => return Err(ChangeError::KeyReused),
            "NO_LINE" => return Err(ChangeError::NoLine),
            "TOO_MANY_LINES" => return Err(ChangeError::TooManyLines(self.limits.lines_max)),
            "TOO_MANY_UNITS" => return Err(ChangeError::TooManyUnits(self.limits.quantity_max)),
            _ => return Err(ChangeError::Unexpected(outcome)),
        }
        let mut fields = Vec::new();
        while let (Some(field), Some(value)) = (answer.next(), answer.next()) {
            fields.push((field, value));
        }
        Ok(hash::cart(id, &fields)?)
    }

    fn ttl(&self, id: CartId) -> u32 {
        match id {
            CartId::User(_) => self.limits.user_ttl_seconds,
            CartId::Guest(_) => self.limits.guest_ttl_seconds,
        }
    }
}

/// The braces are a hash tag: on a cluster a cart lives on one node.
fn key(id: CartId) -> String {
    match id {
        CartId::User(id) => format!("cart:{{{id}}}"),
        CartId::Guest(id) => format!("cart:guest:{{{id}}}"),
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
