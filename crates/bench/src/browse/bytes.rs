//! Bare actix-web that answers every request with the same head and body.

use std::net::TcpListener;
use std::path::Path;

use actix_web::web::{Bytes, Data, get};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// As the services by default.
const WORKERS: usize = 2;

/// What is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// Serves until it is killed; says its address on the standard error.
pub async fn serve(answer: &Path) -> Result<()> {
    let text = std::fs::read(answer).with_context(|| format!("read {}", answer.display()))?;
    let answer: Answer = serde_json::from_slice(&text).context("the answer")?;
    let ready = Data::new(Ready {
        headers: answer.headers,
        body: answer.body.into(),
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("bind")?;
    eprintln!("{}", listener.local_addr().context("the bound address")?);
    HttpServer::new(move || {
        App::new()
            .app_data(ready.clone())
            .route("/v1/products/{product_id}", get().to(product))
    })
    .listen(listener)
    .context("listen")?
    .workers(WORKERS)
    .run()
    .await
    .context("serve")
}

struct Ready {
    headers: Vec<(String, String)>,
    body: Bytes,
}

async fn product(ready: Data<Ready>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for (name, value) in &ready.headers {
        response.insert_header((name.as_str(), value.as_str()));
    }
    response.body(ready.body.clone())
}
