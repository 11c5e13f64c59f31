//! What stands behind the gateway and behind nginx: bare actix-web that answers a product, of the size that the
//! catalog's are, and an order, for the streams.

use std::net::TcpListener;

use actix_web::web::{self, get};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::{Context as _, Result};
use serde_json::json;

/// As the services by default.
const WORKERS: usize = 2;
/// Of a product's description; with the rest the body has about 1,500 bytes.
const DESCRIPTION: usize = 1_200;

/// Serves until it is killed; says its address on the standard error.
pub async fn serve() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("bind")?;
    eprintln!("{}", listener.local_addr().context("the bound address")?);
    HttpServer::new(|| {
        App::new()
            .route("/v1/products/{id}", get().to(product))
            .route("/v1/orders/{id}", get().to(order))
    })
    .listen(listener)
    .context("listen")?
    .workers(WORKERS)
    .run()
    .await
    .context("serve")
}

async fn product(id: web::Path<String>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "public, max-age=0, s-maxage=60"))
        .insert_header(("etag", "\"1\""))
        .json(json!({
            "product_id": id.as_str(), "handle": "bench", "title": "Bench", "version": 1,
            "description": "x".repeat(DESCRIPTION),
            "variants": [{ "sku_id": id.as_str(), "price": { "amount_minor": 4_200, "currency": "USD" } }],
        }))
}

async fn order(id: web::Path<String>) -> HttpResponse {
    let at = "2026-01-01T00:00:00Z";
    HttpResponse::Ok().json(json!({
        "order_id": id.as_str(), "status": "CONFIRMED", "history": [{ "status": "CONFIRMED", "at": at }],
        "updated_at": at,
    }))
}
