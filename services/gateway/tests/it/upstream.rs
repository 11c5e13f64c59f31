use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use ferrocart_http_kit::{Caller, Problem, TokenVerifier};
use ferrocart_test_kit::{SERVICES, TestKeys};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Stands for every service at once: it checks the internal token as they do, and answers with what it was
/// sent.
#[derive(Clone)]
pub(crate) struct Upstream {
    inner: Arc<Inner>,
    pub(crate) port: u16,
}

struct Inner {
    verifiers: Vec<(&'static str, TokenVerifier)>,
    hits: AtomicUsize,
    orders: Mutex<HashMap<String, Value>>,
    stock: Mutex<HashMap<String, Value>>,
    /// The SKUs of live sales.
    sales: Mutex<Vec<uuid::Uuid>>,
    /// What was to be mailed.
    mails: Mutex<Vec<Value>>,
    /// How requests fail, those for health apart.
    fault: Mutex<Option<Fault>>,
    /// Requests for an order wait for a permit when this is there.
    hold: Mutex<Option<Arc<Semaphore>>>,
}

/// How a replica can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It says that it cannot serve.
    Unable,
}

impl Upstream {
    pub(crate) fn start(keys: &TestKeys) -> Self {
        let verifiers = SERVICES
            .iter()
            .map(|service| {
                (
                    *service,
                    TokenVerifier::load(service, &keys.auth(service)).unwrap(),
                )
            })
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self {
            inner: Arc::new(Inner {
                verifiers,
                hits: AtomicUsize::new(0),
                orders: Mutex::default(),
                stock: Mutex::default(),
                sales: Mutex::default(),
                mails: Mutex::default(),
                fault: Mutex::default(),
                hold: Mutex::default(),
            }),
            port: listener.local_addr().unwrap().port(),
        };
        let state = web::Data::new(upstream.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .route("/openapi.json", web::get().to(openapi))
                .route("/v1/flash-sales", web::get().to(flash_sales))
                .route("/internal/v1/links", web::post().to(mail_link))
                .route("/v1/orders/{id}", web::get().to(order))
                .route("/v1/inventory/{id}", web::get().to(stock))
                .route("/v1/products:import", web::post().to(import))
                .default_service(web::to(echo))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(0)
        .listen(listener)
        .unwrap()
        .run();
        ferrocart_telemetry::spawn("upstream", server);
        upstream
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many requests got through, those for health and documents apart.
    pub(crate) fn hits(&self) -> usize {
        self.inner.hits.load(Ordering::SeqCst)
    }

    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        *self.inner.fault.lock().unwrap() = fault;
    }

    pub(crate) fn set_sales(&self, skus: &[uuid::Uuid]) {
        *self.inner.sales.lock().unwrap() = skus.to_vec();
    }

    pub(crate) fn mails(&self) -> Vec<Value> {
        self.inner.mails.lock().unwrap().clone()
    }

    pub(crate) fn set_order(&self, id: uuid::Uuid, order: Value) {
        self.inner.orders.lock().unwrap().insert(id.to_string(), order);
    }

    /// So many on hand, none of them reserved, at that version.
    pub(crate) fn set_stock(&self, sku: uuid::Uuid, on_hand: i64, version: i64) {
        let stock = json!({
            "sku_id": sku, "on_hand": on_hand, "reserved": 0, "available": on_hand, "version": version,
        });
        self.inner.stock.lock().unwrap().insert(sku.to_string(), stock);
    }

    /// From now on an order is answered only when a permit is added.
    pub(crate) fn hold_orders(&self) -> Arc<Semaphore> {
        let hold = Arc::new(Semaphore::new(0));
        *self.inner.hold.lock().unwrap() = Some(Arc::clone(&hold));
        hold
    }

    /// For which service the token is, and whom it names.
    fn caller(&self, request: &HttpRequest) -> Result<Value, Problem> {
        let Some(token) = request.headers().get("authorization") else {
            return Ok(Value::Null);
        };
        let token = token.to_str().unwrap().strip_prefix("Bearer ").unwrap();
        let found = self
            .inner
            .verifiers
            .iter()
            .find_map(|(service, verifier)| Some((service, verifier.verify(token).ok()?)));
        match found.as_ref().map(|(audience, caller)| (audience, &**caller)) {
            Some((audience, Caller::User(user))) => Ok(json!({
                "audience": audience,
                "user_id": user.user_id,
                "roles": user.roles,
                "email": user.email,
                "guest_session": user.guest_session,
            })),
            _ => Err(Problem::unauthenticated("the internal token is not valid here")),
        }
    }
}

async fn openapi() -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "openapi": "3.1.0",
        "paths": {
            "/v1/products": {"get": {"summary": "Browse", "tags": ["catalog"]}},
            "/internal/v1/prices": {"post": {}},
            "/v1/secret": {"get": {}},
        },
        "tags": [{"name": "catalog"}],
    }))
}

async fn flash_sales(upstream: web::Data<Upstream>) -> HttpResponse {
    let skus = upstream.inner.sales.lock().unwrap().clone();
    let items: Vec<Value> = skus
        .iter()
        .map(|sku| json!({"sku_id": sku, "state": "LIVE"}))
        .collect();
    HttpResponse::Ok().json(json!({ "items": items }))
}

async fn mail_link(
    request: HttpRequest,
    body: web::Json<Value>,
    upstream: web::Data<Upstream>,
) -> Result<HttpResponse, Problem> {
    upstream.inner.hits.fetch_add(1, Ordering::SeqCst);
    if *upstream.inner.fault.lock().unwrap() == Some(Fault::Unable) {
        return Err(Problem::unavailable("the mail server", Duration::from_secs(1)));
    }
    let token = request.headers().get("authorization").unwrap().to_str().unwrap();
    let token = token.strip_prefix("Bearer ").unwrap();
    let mut verifiers = upstream.inner.verifiers.iter();
    let (_, verifier) = verifiers.find(|(service, _)| *service == "notification").unwrap();
    let caller = verifier.verify(token)?;
    assert!(matches!(&*caller, Caller::Service(_)), "{caller:?}");
    upstream.inner.mails.lock().unwrap().push(body.into_inner());
    Ok(HttpResponse::NoContent().finish())
}

async fn order(
    request: HttpRequest,
    path: web::Path<String>,
    upstream: web::Data<Upstream>,
) -> Result<HttpResponse, Problem> {
    upstream.inner.hits.fetch_add(1, Ordering::SeqCst);
    let caller = upstream.caller(&request)?;
    assert_eq!(caller["audience"], "order");
    // The state of the moment at which the request came, as a service reads it from its database.
    let order = upstream.inner.orders.lock().unwrap().get(path.as_str()).cloned();
    let hold = upstream.inner.hold.lock().unwrap().clone();
    if let Some(hold) = hold {
        hold.acquire().await.unwrap().forget();
    }
    match order {
        Some(order) if order["customer_id"] == caller["user_id"] => Ok(HttpResponse::Ok().json(order)),
        Some(_) => Err(Problem::forbidden("this is another customer's order")),
        None => Err(Problem::not_found("ORDER_NOT_FOUND", "there is no such order")),
    }
}

async fn stock(
    request: HttpRequest,
    path: web::Path<String>,
    upstream: web::Data<Upstream>,
) -> Result<HttpResponse, Problem> {
    upstream.inner.hits.fetch_add(1, Ordering::SeqCst);
    assert_eq!(upstream.caller(&request)?["audience"], "inventory");
    let stock = upstream.inner.stock.lock().unwrap().get(path.as_str()).cloned();
    stock
        .map(|stock| HttpResponse::Ok().json(stock))
        .ok_or_else(|| Problem::not_found("PRODUCT_NOT_FOUND", "there is no such SKU"))
}

/// Answers a line for every line, while the body still comes.
async fn import(mut payload: web::Payload, upstream: web::Data<Upstream>) -> HttpResponse {
    upstream.inner.hits.fetch_add(1, Ordering::SeqCst);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    actix_web::rt::spawn(async move {
        let mut lines = 0_usize;
        while let Some(Ok(chunk)) = payload.next().await {
            let ends = chunk.split(|byte| *byte == b'\n').count() - 1;
            for _ in 0..ends {
                lines += 1;
                let line = format!("{{\"line\":{lines}}}\n");
                if sender.send(Ok(line.into())).await.is_err() {
                    return;
                }
            }
        }
    });
    HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .streaming(futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        }))
}

async fn echo(
    request: HttpRequest,
    body: web::Bytes,
    upstream: web::Data<Upstream>,
) -> Result<HttpResponse, Problem> {
    if request.path() == "/health/ready" {
        return Ok(HttpResponse::Ok().finish());
    }
    upstream.inner.hits.fetch_add(1, Ordering::SeqCst);
    let fault = *upstream.inner.fault.lock().unwrap();
    if fault == Some(Fault::Unable) {
        return Err(Problem::unavailable("the database", Duration::from_secs(1)));
    }
    let caller = upstream.caller(&request)?;
    let query: HashMap<String, String> = url::form_urlencoded::parse(request.query_string().as_bytes())
        .into_owned()
        .collect();
    if let Some(slow) = query.get("slow_ms") {
        tokio::time::sleep(Duration::from_millis(slow.parse().unwrap())).await;
    }
    if let Some(bytes) = query.get("bytes") {
        return Ok(HttpResponse::Ok().body("x".repeat(bytes.parse().unwrap())));
    }
    let headers: HashMap<String, String> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned()))
        .collect();
    Ok(HttpResponse::Accepted()
        .insert_header(("etag", "\"7\""))
        .insert_header(("location", "/v1/somewhere"))
        .insert_header(("keep-alive", "timeout=5"))
        .json(json!({
            "caller": caller,
            "method": request.method().as_str(),
            "path": request.uri().path(),
            "query": request.query_string(),
            "headers": headers,
            "body": String::from_utf8_lossy(&body),
        })))
}
