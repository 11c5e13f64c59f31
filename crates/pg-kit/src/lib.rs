//! PostgreSQL as every service uses it: the pool, named transactions, the outbox, the inbox and the
//! idempotency keys, all on `&mut PgConnection` so that they join the caller's transaction.

mod combine;
mod error;
mod pool;
mod tx;

pub mod idempotency;
pub mod inbox;
pub mod outbox;

pub use combine::{Batch, Combiner};
pub use error::{StoreError, StoreResultExt, is_unavailable, sqlstate};
pub use pool::{PgSettings, connect, connect_for_batches, migrate, ping};
pub use tx::run_tx;

pub use futures::future::BoxFuture;
