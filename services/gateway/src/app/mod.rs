//! A file per use case; each owns its transaction.

mod accounts;
mod api_keys;
mod email_changes;
mod hashing;
mod keys;
mod outside;
mod password_resets;
mod password_tries;
mod sessions;
mod sweeper;

pub(crate) use accounts::{Accounts, ProfileChange};
pub(crate) use api_keys::{ApiKeys, MachineToken, NewKey};
pub(crate) use email_changes::{Asker, EmailChanges};
pub(crate) use hashing::PasswordHasher;
pub(crate) use keys::{AccessClaims, AccessTokens};
pub(crate) use password_resets::PasswordResets;
pub(crate) use password_tries::PasswordTries;
pub(crate) use sessions::{IssuedTokens, Origin, Sessions, new_link_token};
pub(crate) use sweeper::sweep;
