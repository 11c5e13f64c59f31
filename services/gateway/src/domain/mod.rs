//! What a user is: pure types that cannot hold a bad value.

mod api_key;
mod link;
mod password;
mod user;

pub(crate) use api_key::{ApiKey, Scope};
pub(crate) use link::LinkPurpose;
pub(crate) use password::Password;
pub(crate) use user::{PersonName, User, UserRoles};
pub use user::{RoleMapping, UserRole};
