//! Categories, imports and stock in memory, over real HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "a-merchant-token";

#[derive(Default)]
pub(crate) struct Shop {
    pub(crate) categories: BTreeMap<String, Option<String>>,
    pub(crate) products: BTreeMap<String, Value>,
    pub(crate) stock: BTreeMap<String, u64>,
    pub(crate) keys: Vec<String>,
    pub(crate) import_lines: Vec<usize>,
    /// Requests to answer with 429 before the next import is taken.
    pub(crate) refuse_imports: usize,
    /// Handles to fail.
    pub(crate) refuse_handles: BTreeSet<String>,
    /// Categories that the list does not show yet.
    pub(crate) hidden: BTreeSet<String>,
}

pub(crate) type Shared = Arc<Mutex<Shop>>;

/// A gateway on a free port. It ends with the runtime of the test.
pub(crate) fn start() -> (String, Shared) {
    let shop = Shared::default();
    let data = web::Data::new(Arc::clone(&shop));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(2 << 20))
            .route("/v1/categories", web::get().to(list))
            .route("/v1/categories", web::post().to(create))
            .route("/v1/products:import", web::post().to(import))
            .route("/v1/inventory:batch", web::post().to(stock))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let url = format!("http://{}", server.addrs()[0]);
    actix_web::rt::spawn(server.run());
    (url, shop)
}

fn authorized(request: &HttpRequest) {
    let header = request.headers().get("authorization").unwrap();
    assert_eq!(header.to_str().unwrap(), format!("Bearer {TOKEN}"));
}

async fn list(shop: web::Data<Shared>) -> HttpResponse {
    let mut shop = shop.lock().unwrap();
    let visible = shop.categories.keys().filter(|slug| !shop.hidden.contains(*slug));
    let items: Vec<Value> = visible
        .map(|slug| json!({"category_id": id(slug), "slug": slug}))
        .collect();
    shop.hidden.clear();
    HttpResponse::Ok().json(json!({"items": items}))
}

async fn create(request: HttpRequest, shop: web::Data<Shared>, body: web::Json<Value>) -> HttpResponse {
    authorized(&request);
    let mut shop = shop.lock().unwrap();
    let slug = body["slug"].as_str().unwrap().to_owned();
    if shop.categories.contains_key(&slug) {
        return HttpResponse::Conflict().json(json!({"code": "CATEGORY_EXISTS"}));
    }
    let parent = body["parent_id"].as_str().map(str::to_owned);
    let answer = json!({"category_id": id(&slug), "slug": slug, "name": body["name"], "parent_id": parent});
    shop.categories.insert(slug, parent);
    HttpResponse::Created().json(answer)
}

async fn import(request: HttpRequest, shop: web::Data<Shared>, body: web::Bytes) -> HttpResponse {
    authorized(&request);
    let mut shop = shop.lock().unwrap();
    if shop.refuse_imports > 0 {
        shop.refuse_imports -= 1;
        return HttpResponse::TooManyRequests()
            .insert_header(("retry-after", "0"))
            .finish();
    }
    let (mut lines, mut created, mut unchanged, mut failed) = (Vec::new(), 0, 0, 0);
    for (line, product) in (1..).zip(body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())) {
        let product: Value = serde_json::from_slice(product).unwrap();
        let handle = product["handle"].as_str().unwrap().to_owned();
        let known = shop
            .categories
            .contains_key(product["category"].as_str().unwrap());
        if !known || shop.refuse_handles.contains(&handle) {
            failed += 1;
            let errors = json!([{"field": "category", "reason": "unknown"}]);
            lines.push(json!({"line": line, "status": "failed", "errors": errors}));
            continue;
        }
        let variants = product["variants"].as_array().unwrap().iter();
        let variants: Vec<Value> = variants
            .map(|v| json!({"sku": v["sku"], "sku_id": id(v["sku"].as_str().unwrap())}))
            .collect();
        let status = if shop.products.insert(handle, product).is_none() {
            created += 1;
            "created"
        } else {
            unchanged += 1;
            "unchanged"
        };
        lines.push(json!({"line": line, "status": status, "variants": variants}));
    }
    shop.import_lines.push(lines.len());
    lines.push(
        json!({"summary": {"created": created, "updated": 0, "unchanged": unchanged, "failed": failed}}),
    );
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .body(lines.join("\n"))
}

async fn stock(request: HttpRequest, shop: web::Data<Shared>, body: web::Json<Value>) -> HttpResponse {
    authorized(&request);
    let mut shop = shop.lock().unwrap();
    let key = request
        .headers()
        .get("idempotency-key")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    shop.keys.push(key);
    let items = body["items"].as_array().unwrap();
    assert!(items.len() <= 1_000);
    for item in items {
        let sku_id = item["sku_id"].as_str().unwrap().to_owned();
        shop.stock
            .entry(sku_id)
            .or_insert_with(|| item["on_hand"].as_u64().unwrap());
    }
    HttpResponse::Ok().json(json!({"items": items}))
}

pub(crate) fn id(name: &str) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}
