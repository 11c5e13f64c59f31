//! The references that are reached over HTTP: bare actix-web, in a process of its own as the services
//! are, with as many workers as they have.

use std::net::TcpListener;

use actix_web::web::{Bytes, Data, Json, PayloadConfig, post};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use crate::naive::{self, Outcome};

/// As the services by default.
const WORKERS: usize = 2;
const BODY_BYTES_MAX: usize = 256 * 1024;

#[derive(Deserialize)]
struct Request {
    order_id: Uuid,
    items: Vec<Item>,
}

#[derive(Deserialize, Serialize)]
struct Item {
    sku_id: Uuid,
    quantity: i32,
}

/// Serves `/echo` and `/naive` until it is killed; says on the standard output where.
#[expect(clippy::print_stdout, reason = "its parent reads the port from there")]
pub async fn serve(database_url: &str) -> Result<()> {
    let pool = Data::new(naive::pool(database_url)?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("bind")?;
    println!("{}", listener.local_addr().context("the bound address")?);
    HttpServer::new(move || {
        App::new()
            .app_data(pool.clone())
            .app_data(PayloadConfig::new(BODY_BYTES_MAX))
            .route("/echo", post().to(echo))
            .route("/naive", post().to(reserve))
    })
    .listen(listener)
    .context("listen")?
    .workers(WORKERS)
    .run()
    .await
    .context("serve")
}

async fn echo(body: Bytes) -> HttpResponse {
    HttpResponse::Created()
        .content_type("application/json")
        .body(body)
}

async fn reserve(pool: Data<PgPool>, request: Json<Request>) -> HttpResponse {
    let Some(item) = request.items.first() else {
        return HttpResponse::BadRequest().finish();
    };
    match naive::reserve(&pool, request.order_id, item.sku_id, item.quantity).await {
        Ok(Outcome::Granted) => HttpResponse::Created().json(serde_json::json!({
            "reservation_id": request.order_id, "order_id": request.order_id, "status": "RESERVED",
            "items": request.items,
        })),
        Ok(Outcome::SoldOut) => HttpResponse::Conflict().finish(),
        Ok(Outcome::UnknownSku) => HttpResponse::NotFound().finish(),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}
