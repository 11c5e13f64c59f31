//! The services that a checkout needs, with this service's own view of their answers: what it does not
//! use it does not read, so that they may grow.

mod cart;
mod catalog;
mod inventory;
mod payment;

use std::time::Duration;

use ferrocart_http_kit::{CallError, ServiceClient, TokenIssuer};

use crate::config::NeighbourSettings;

pub(crate) use cart::{Cart, CartClient, CartStatus};
pub(crate) use catalog::{CatalogClient, Price};
pub(crate) use inventory::{InventoryClient, Reservation, ReservationStatus};
pub(crate) use payment::{PaymentClient, PaymentView};

#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) cart: CartClient,
    pub(crate) catalog: CatalogClient,
    pub(crate) inventory: InventoryClient,
    pub(crate) payment: PaymentClient,
}

impl Clients {
    pub(crate) fn new(settings: &NeighbourSettings, issuer: &TokenIssuer) -> anyhow::Result<Self> {
        let call = Duration::from_millis(settings.call_timeout_ms);
        let payment = Duration::from_millis(settings.payment_timeout_ms);
        let client = |service, url, timeout| ServiceClient::new(service, url, issuer.clone(), timeout);
        Ok(Self {
            cart: CartClient::new(client("cart", &settings.cart_url, call)?),
            catalog: CatalogClient::new(client("catalog", &settings.catalog_url, call)?),
            inventory: InventoryClient::new(client("inventory", &settings.inventory_url, call)?),
            payment: PaymentClient::new(client("payment", &settings.payment_url, payment)?),
        })
    }
}

/// Whether the call had no effect and never will: anything else is to be asked again.
///
/// A service that does not know us (401, 403) is being set up wrongly, which a person repairs; one that
/// says itself that a retry may help is believed.
pub(crate) fn is_definite(error: &CallError) -> bool {
    match error {
        CallError::Refused { status, problem, .. } => {
            error.is_definite() && !matches!(*status, 401 | 403) && !problem.retryable
        }
        _ => false,
    }
}
