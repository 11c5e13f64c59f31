//! A file per endpoint: what comes in, the call, what goes out.

pub(crate) mod admin;
pub(crate) mod cancel;
pub(crate) mod checkout;
pub(crate) mod deliver;
pub(crate) mod orders;
pub(crate) mod pay;
pub(crate) mod place;
pub(crate) mod refund;
pub(crate) mod ship;

mod optional;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, http::header};

use crate::app::Changed;
use crate::error::ServiceError;
use crate::saga::SagaError;
use crate::views::OrderView;

pub(crate) fn configure(config: &mut ServiceConfig) {
    config
        .route("/v1/checkout", web::post().to(checkout::checkout))
        .service(
            web::resource("/v1/orders")
                .route(web::get().to(orders::list))
                .route(web::post().to(place::place)),
        )
        .route("/v1/orders/{order_id}/payment", web::put().to(pay::pay))
        .route("/v1/orders/{order_id}", web::get().to(orders::read))
        .route("/v1/orders/{order_id}/cancel", web::put().to(cancel::cancel))
        .route("/v1/orders/{order_id}/ship", web::put().to(ship::ship))
        .route("/v1/orders/{order_id}/deliver", web::put().to(deliver::deliver))
        .route("/v1/orders/{order_id}/refund", web::put().to(refund::refund))
        .route("/v1/admin/sagas", web::get().to(admin::sagas))
        .route("/v1/admin/sagas/{saga_id}/retry", web::post().to(admin::retry))
        .route("/v1/admin/sagas/{saga_id}/cancel", web::post().to(admin::cancel));
}

/// 200 with the order, or 202 while what was asked for goes on.
fn changed(changed: &Changed) -> Result<HttpResponse, ServiceError> {
    let (mut response, order) = match changed {
        Changed::Done(order) => (HttpResponse::Ok(), order),
        Changed::Accepted(order) => (HttpResponse::Accepted(), order),
        Changed::Stored { response, replayed } => return Ok(checkout::stored(response, *replayed)),
    };
    if let Changed::Accepted(order) = changed {
        response.insert_header((header::LOCATION, format!("/v1/orders/{}", order.id)));
    }
    Ok(response.json(OrderView::of(order).map_err(SagaError::from)?))
}
