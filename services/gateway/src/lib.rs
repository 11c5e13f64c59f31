//! The public door of Ferrocart: identity, limits, forwarding, live order status and the API's
//! documentation.

mod app;
mod config;
mod docs;
mod domain;
mod edge;
mod error;
mod limits;
mod openapi;
mod routes;
mod sse;
mod startup;
mod store;
mod workers;

pub use config::{IdentitySettings, OidcSettings, Settings, UpstreamSettings};
pub use domain::{RoleMapping, UserRole};
pub use edge::{Deprecation, Network, public_routes};
pub use limits::{Limit, LimitSettings, RouteLimit};
pub use startup::{Application, Gateway};
