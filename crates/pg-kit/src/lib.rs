//! PostgreSQL as every service uses it: the pool, named transactions, the outbox, the inbox and the
//! idempotency keys, all on `&mut PgConnection` so that they join the caller's transaction.

mod error;
mod pool;
mod tx;

pub mod idempotency;
pub mod inbox;
pub mod outbox;

pub use error::{StoreError, StoreResultExt, is_unavailable, sqlstate};
pub use pool::{PgSettings, connect, migrate, ping};
pub use tx::run_tx;

pub use futures::future::BoxFuture;
