//! The webhooks of a merchant: theirs alone.

mod deliveries;
mod endpoints;
mod secrets;

use ferrocart_http_kit::{Caller, Problem, Role, UserIdentity};
use ferrocart_types::EndpointId;

use super::State;
use crate::domain::Endpoint;
use crate::error::NotificationError;
use crate::store;

pub(crate) use deliveries::{
    __path_deliver_again, __path_list_deliveries, __path_read_delivery, __path_send_test, AttemptBody,
    DeliveryBody, DeliveryDetail, DeliveryPage, DeliveryStarted, deliver_again, list_deliveries,
    read_delivery, send_test,
};
pub(crate) use endpoints::{
    __path_create_endpoint, __path_delete_endpoint, __path_list_endpoints, __path_read_endpoint,
    __path_update_endpoint, EndpointBody, EndpointChanges, EndpointList, NewEndpoint, NewEndpointBody,
    create_endpoint, delete_endpoint, list_endpoints, read_endpoint, update_endpoint,
};
pub(crate) use secrets::{__path_rotate_secret, RotatedSecret, rotate_secret};

fn merchant(caller: &Caller) -> Result<&UserIdentity, Problem> {
    caller.require_any(&[Role::Merchant, Role::Admin])?;
    caller.user()
}

/// Another's endpoint is not there.
fn not_found() -> Problem {
    Problem::not_found("ENDPOINT_NOT_FOUND", "you have no such endpoint")
}

async fn own_endpoint(caller: &Caller, state: &State, id: &str) -> Result<Endpoint, NotificationError> {
    let merchant = merchant(caller)?.user_id;
    let id: EndpointId = ferrocart_http_kit::parse_id(id)?;
    let found = store::endpoint_of(&state.pool, merchant, id).await?;
    Ok(found.ok_or_else(not_found)?)
}
