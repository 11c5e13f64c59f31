//! What a user is: pure types that cannot hold a bad value.

mod password;
mod user;

pub(crate) use password::Password;
pub(crate) use user::{PersonName, User, UserRole, UserRoles};
