//! Webhooks on their way out, after the Standard Webhooks specification: what an endpoint's address may be, how its
//! secret is kept, how a message is signed and sent.

mod address;
mod post;
mod secret;

pub(crate) use address::{AddressRules, Target};
pub(crate) use post::{Outcome, Parcel, PostOffice};
pub(crate) use secret::{Safe, Sealed, Secret, SecretError, signature};
