//! The read path of products: this process's memory, then Redis, then PostgreSQL.
//!
//! - Memory answers for one second at most, so that other replicas' changes show within it.
//! - One request per product asks further at a time; the others wait for its answer. Of several replicas one
//!   asks PostgreSQL, and the others take its answer from Redis.
//! - A price that begins or ends to hold is written into what is kept, without a look at the stores.
//! - A change made here shows here at once: its version is a floor under which no answer counts.
//! - Redis holds versions too and never takes an older one for a newer one, so a slow reader cannot
//!   bring back what a writer has replaced. What a writer could not tell Redis, because it was away,
//!   the consumer of our own catalog-events tells it later.
//! - That there is no such product is remembered too, in memory and for ten seconds in Redis.
//! - With PostgreSQL away the last known answer is served, marked as stale.
//! - Pages of lists hold ids alone, in memory alone: what is on them is read like single products.

mod breaker;
mod categories;
mod flight;
mod many;
mod pages;
mod products;
mod rendered;
mod shared;

pub(crate) use categories::CategoryCache;
pub(crate) use pages::Pages;
pub(crate) use products::{Answer, ProductCache};
pub(crate) use rendered::{Found, Rendered};
pub(crate) use shared::SharedCache;
