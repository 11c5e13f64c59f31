use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use ferrocart_http_kit::{Caller, TokenVerifier};
use ferrocart_test_kit::TestEnv;
use ferrocart_types::UserId;
use serde_json::{Value, json};
use uuid::Uuid;

/// A catalog that answers prices as the real one does: to services alone, at most 200 SKUs a call.
#[derive(Clone)]
pub(crate) struct PlayCatalog {
    inner: Arc<Inner>,
}

struct Inner {
    verifier: TokenVerifier,
    /// By SKU: whose it is, and its status.
    skus: Mutex<HashMap<Uuid, (UserId, &'static str)>>,
    away: AtomicBool,
    calls: AtomicUsize,
}

impl PlayCatalog {
    /// Answers the port as well.
    pub(crate) fn open(env: &TestEnv) -> (Self, u16) {
        let catalog = Self {
            inner: Arc::new(Inner {
                verifier: TokenVerifier::load("catalog", &env.keys.auth("catalog")).expect("the keys"),
                skus: Mutex::default(),
                away: AtomicBool::new(false),
                calls: AtomicUsize::new(0),
            }),
        };
        let data = web::Data::new(catalog.clone());
        let server = HttpServer::new(move || {
            let prices = web::post().to(prices);
            App::new()
                .app_data(data.clone())
                .route("/internal/v1/prices", prices)
        });
        let server = server
            .workers(1)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .expect("a port");
        let port = server.addrs()[0].port();
        ferrocart_telemetry::spawn("catalog", server.run());
        (catalog, port)
    }

    pub(crate) fn list(&self, sku: Uuid, merchant: UserId, status: &'static str) {
        let mut skus = self.inner.skus.lock().expect("the SKUs");
        skus.insert(sku, (merchant, status));
    }

    pub(crate) fn go_away(&self) {
        self.inner.away.store(true, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> usize {
        self.inner.calls.load(Ordering::SeqCst)
    }
}

async fn prices(
    request: HttpRequest,
    body: web::Json<Value>,
    catalog: web::Data<PlayCatalog>,
) -> HttpResponse {
    let inner = &catalog.inner;
    inner.calls.fetch_add(1, Ordering::SeqCst);
    let token = request.headers().get("authorization").expect("a token");
    let token = token.to_str().expect("text");
    let caller = inner.verifier.verify(token.trim_start_matches("Bearer "));
    assert_eq!(
        *caller.expect("a good token"),
        Caller::Service("inventory".to_owned())
    );
    if inner.away.load(Ordering::SeqCst) {
        return HttpResponse::ServiceUnavailable().finish();
    }
    let asked = body["sku_ids"].as_array().expect("a list");
    assert!(
        (1..=200).contains(&asked.len()),
        "{} SKUs in one call",
        asked.len()
    );
    let skus = inner.skus.lock().expect("the SKUs");
    let items = asked.iter().filter_map(|sku| {
        let id: Uuid = sku.as_str()?.parse().ok()?;
        let (merchant, status) = skus.get(&id)?;
        Some(
            json!({"sku_id": id, "product_id": Uuid::nil(), "merchant_id": merchant, "sku": "SHOE-42",
            "title": "Shoe", "options": {}, "price": {"amount_minor": 100, "currency": "USD"},
            "status": status}),
        )
    });
    HttpResponse::Ok().json(json!({"items": items.collect::<Vec<_>>()}))
}
