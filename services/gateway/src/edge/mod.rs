//! The public door: which calls there are and who may make them ([`table`]), the check of every request
//! ([`gate`]), and the way to the service that answers it ([`forward`]).

mod address;
mod balance;
mod compression;
mod deprecation;
mod flash;
mod forward;
mod gate;
mod headers;
mod identity;
mod merge;
mod mount;
mod probe;
mod table;
mod upstream;

pub use address::Network;
pub(crate) use balance::EjectionPolicy;
pub use deprecation::Deprecation;
pub(crate) use flash::{FlashSales, watch_sales};
pub(crate) use forward::read_small;
pub(crate) use gate::{Admitted, Edge, EdgeSettings};
pub(crate) use identity::InternalTokens;
pub(crate) use mount::mount;
pub(crate) use probe::{UpstreamHealth, probe};
pub use table::public_routes;
pub(crate) use table::{BodyRule, RULES, Rule, Service, Target, Verb, Who};
pub(crate) use upstream::Upstreams;
