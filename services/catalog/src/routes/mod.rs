//! A file per resource: parse, call, answer.

pub(crate) mod categories;
pub(crate) mod export;
mod headers;
pub(crate) mod import;
pub(crate) mod imports;
mod lines;
pub(crate) mod prices;
pub(crate) mod products;
pub(crate) mod read;
pub(crate) mod review;
pub(crate) mod reviews;

use actix_web::web::{self, ServiceConfig};
use ferrocart_http_kit::{Caller, Problem, Role};

use crate::app::Catalog;
use crate::app::edit::Editor;

pub(crate) fn configure(config: &mut ServiceConfig, catalog: &Catalog) {
    config
        .app_data(web::Data::new(catalog.clone()))
        // The first that matches is taken: what is asked for most stands first.
        .service(
            web::resource("/v1/products/{product_id}")
                .route(web::get().to(read::get))
                .route(web::put().to(products::replace))
                .route(web::patch().to(products::merge))
                .route(web::delete().to(products::archive)),
        )
        .service(
            web::resource("/v1/categories")
                .route(web::get().to(categories::list))
                .route(web::post().to(categories::create)),
        )
        .service(
            web::resource("/v1/categories/{category_id}/attributes")
                .route(web::get().to(categories::attributes))
                .route(web::put().to(categories::put_attributes)),
        )
        .service(
            web::resource("/v1/products")
                .route(web::get().to(read::list))
                .route(web::post().to(products::create)),
        )
        .service(web::resource("/v1/products:batch").route(web::get().to(read::batch)))
        .service(web::resource("/v1/products:import").route(web::post().to(import::import)))
        .service(web::resource("/v1/products:export").route(web::get().to(export::export)))
        .route("/v1/imports/{import_id}", web::get().to(imports::get))
        .route("/v1/imports/{import_id}/errors", web::get().to(imports::errors))
        .service(
            web::resource("/v1/products/{product_id}/reviews")
                .route(web::get().to(reviews::list))
                .route(web::post().to(reviews::create)),
        )
        .service(
            web::resource("/v1/products/{product_id}/reviews/{review_id}")
                .route(web::put().to(review::rewrite))
                .route(web::delete().to(review::remove)),
        )
        .route(
            "/v1/products/{product_id}/reviews/{review_id}/status",
            web::put().to(review::moderate),
        )
        .service(
            web::resource("/v1/products/{product_id}/reviews/{review_id}/helpful")
                .route(web::put().to(review::find_helpful))
                .route(web::delete().to(review::find_unhelpful)),
        )
        .route("/v1/admin/reviews", web::get().to(review::pending))
        .service(web::resource("/internal/v1/prices").route(web::post().to(prices::prices)));
}

/// The caller as one who may change the catalog.
fn editor(caller: &Caller) -> Result<Editor, Problem> {
    caller.require_any(&[Role::Merchant, Role::Admin])?;
    Ok(Editor {
        user_id: caller.user()?.user_id,
        is_admin: caller.has_role(Role::Admin),
    })
}
