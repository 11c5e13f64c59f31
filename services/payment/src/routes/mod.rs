pub(crate) mod client_secret;
pub(crate) mod get;
pub(crate) mod internal;
pub(crate) mod reconciliation;
pub(crate) mod view;
pub(crate) mod webhook;

use actix_web::web::{ServiceConfig, get, post};

pub(crate) fn configure(config: &mut ServiceConfig) {
    const BY_ORDER: &str = "/internal/v1/payments/by-order/{order_id}";
    const RECONCILIATION: &str = "/v1/admin/payments/reconciliation";
    config
        // Before `{payment_id}`, which would match it as well.
        .route("/v1/payments/webhook", post().to(webhook::webhook))
        .route("/v1/payments/{payment_id}", get().to(get::get_payment))
        .route(
            "/v1/payments/{payment_id}/client-secret",
            get().to(client_secret::client_secret),
        )
        .route(RECONCILIATION, get().to(reconciliation::report))
        .route(RECONCILIATION, post().to(reconciliation::start))
        .route("/internal/v1/payments", post().to(internal::authorize))
        .route(BY_ORDER, get().to(internal::by_order))
        .route(&format!("{BY_ORDER}/capture"), post().to(internal::capture))
        .route(&format!("{BY_ORDER}/void"), post().to(internal::void))
        .route(&format!("{BY_ORDER}/refund"), post().to(internal::refund));
}
