//! The only place with SQL.

mod contacts;
mod deliveries;
mod endpoints;
mod notifications;
mod owners;
mod queue;

pub(crate) use contacts::{preferences, preferences_in, replace_preferences, switch_off};
pub(crate) use deliveries::{
    Attempt, Delivery, Due, Room, claim_deliveries, deliveries, delivery_log, forget_messages,
    insert_messages, log_attempt, mark_delivered, mark_undelivered, redeliver, webhook_backlog,
};
pub(crate) use endpoints::{
    Failing, any_enabled, count_failure, delete_endpoint, disable_endpoint, enabled_endpoints, endpoint_of,
    endpoints_of, fail_pending, forgive, insert_endpoint, rotate_secret, update_endpoint,
};
pub(crate) use notifications::{insert, list};
pub(crate) use owners::{Owned, owners_of_products, owners_of_skus, remember_products};
pub(crate) use queue::{Claimed, Setback, Taken, backlog, claim, mark_sent, set_back};
