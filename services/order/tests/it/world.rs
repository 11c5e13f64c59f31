//! Cart, catalog, inventory and payment in one small server that keeps their contracts.

use std::collections::{HashMap, VecDeque};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

/// Longer than any call's deadline in these tests.
const TOO_LONG: Duration = Duration::from_millis(1_500);

/// What is to happen to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 500, and nothing is done.
    Error,
    /// Nothing is done, and no answer comes in time.
    Timeout,
    /// It is done, and no answer comes in time.
    Lost,
    /// It is done, and answered with 504.
    LostWith504,
    /// The request arrives twice.
    Twice,
    /// It is done, slowly.
    Slow(Duration),
    /// It is done at once, and answered when the test lets go.
    Held,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// cart → its items and the order that has it
    pub(crate) carts: HashMap<String, (Vec<Value>, Option<String>)>,
    /// sku → price
    pub(crate) prices: HashMap<Uuid, i64>,
    /// sku → what can be reserved
    pub(crate) stock: HashMap<Uuid, i64>,
    /// order → its reservation: status and items
    pub(crate) reservations: HashMap<String, (&'static str, Vec<Value>)>,
    /// order → whose hold its reservation is
    pub(crate) holders: HashMap<String, Uuid>,
    /// order → its payment: id and status
    pub(crate) payments: HashMap<String, (Uuid, &'static str)>,
    /// order → what was authorized and what of it went back
    pub(crate) money: HashMap<String, (i64, i64)>,
    /// Refunds by their keys, as payment keeps them.
    refunds: HashMap<String, i64>,
    /// What the provider was made to do, by order and verb; replays do not count.
    pub(crate) money_moves: HashMap<(String, &'static str), u32>,
    pub(crate) calls: Vec<&'static str>,
    pub(crate) traceparents: Vec<(&'static str, String)>,
    /// Answers that are held.
    pub(crate) held: usize,
    faults: HashMap<&'static str, VecDeque<Fault>>,
    always: HashMap<&'static str, Fault>,
}

#[derive(Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    let_go: Arc<Notify>,
    port: u16,
}

impl World {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let world = Self {
            state: Arc::default(),
            let_go: Arc::default(),
            port: listener.local_addr().unwrap().port(),
        };
        let data = web::Data::new(world.clone());
        let server =
            HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(serve)))
                .listen(listener)
                .unwrap()
                .workers(1)
                .disable_signals()
                .run();
        ferrocart_telemetry::spawn("world", server);
        world
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next call of that name is to fail so.
    pub(crate) fn fail(&self, call: &'static str, fault: Fault) {
        self.lock().faults.entry(call).or_default().push_back(fault);
    }

    /// Every call of that name is to fail so.
    pub(crate) fn fail_always(&self, call: &'static str, fault: Fault) {
        self.lock().always.insert(call, fault);
    }

    /// Gives the held answers, all of which are known to be held.
    pub(crate) fn let_go(&self) {
        self.let_go.notify_waiters();
    }

    pub(crate) fn heal(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.always.clear();
    }

    pub(crate) fn sku(&self, price: i64, stock: i64) -> Uuid {
        let sku = fresh();
        let mut state = self.lock();
        state.prices.insert(sku, price);
        state.stock.insert(sku, stock);
        sku
    }

    pub(crate) fn available(&self, sku: Uuid) -> i64 {
        self.lock().stock[&sku]
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.lock().calls.iter().filter(|made| **made == call).count()
    }

    pub(crate) fn reservation(&self, order: &str) -> Option<&'static str> {
        self.lock().reservations.get(order).map(|(status, _)| *status)
    }

    pub(crate) fn payment(&self, order: &str) -> Option<&'static str> {
        self.lock().payments.get(order).map(|(_, status)| *status)
    }

    pub(crate) fn money_moves(&self, order: &str, verb: &'static str) -> u32 {
        self.lock()
            .money_moves
            .get(&(order.to_owned(), verb))
            .copied()
            .unwrap_or(0)
    }
}

#[expect(clippy::disallowed_methods, reason = "tests need fresh ids")]
pub(crate) fn fresh() -> Uuid {
    Uuid::now_v7()
}

async fn serve(world: web::Data<World>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    assert!(
        request.headers().contains_key("authorization"),
        "a call without a token"
    );
    let path = request.path().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let call = name_of(&path, request.method().as_str());
    let fault = {
        let mut state = world.lock();
        state.calls.push(call);
        if let Some(traceparent) = request.headers().get("traceparent") {
            state
                .traceparents
                .push((call, traceparent.to_str().unwrap().to_owned()));
        }
        let next = state.faults.get_mut(call).and_then(VecDeque::pop_front);
        next.or_else(|| state.always.get(call).copied())
    };
    let key = request.headers().get("idempotency-key");
    let key = key
        .map(|key| key.to_str().unwrap().to_owned())
        .unwrap_or_default();
    let act = || world.lock().act(call, &path, &body, &key);
    match fault {
        None => act(),
        Some(Fault::Error) => problem(500, "INTERNAL_ERROR", &json!({ "retryable": true })),
        Some(Fault::Timeout) => {
            tokio::time::sleep(TOO_LONG).await;
            problem(503, "TOO_LATE", &json!({}))
        }
        Some(Fault::Lost) => {
            act();
            tokio::time::sleep(TOO_LONG).await;
            problem(503, "TOO_LATE", &json!({}))
        }
        Some(Fault::LostWith504) => {
            act();
            problem(504, "PAYMENT_OUTCOME_UNKNOWN", &json!({ "retryable": true }))
        }
        Some(Fault::Twice) => {
            act();
            act()
        }
        Some(Fault::Held) => {
            // Listening begins before it is said.
            let gone = world.let_go.notified();
            let answer = act();
            world.lock().held += 1;
            gone.await;
            answer
        }
        Some(Fault::Slow(wait)) => {
            tokio::time::sleep(wait).await;
            act()
        }
    }
}

fn name_of(path: &str, method: &str) -> &'static str {
    let last = path.rsplit('/').next().unwrap();
    match last {
        "prices" => "prices",
        "checked-out" => "mark",
        "reserve" => "reserve",
        "extend" => "extend",
        _ if path.starts_with("/v1/inventory/reservations/") => "reservation",
        "confirm" => "confirm",
        "release" => "release",
        "deduct" => "deduct",
        "capture" => "capture",
        "void" => "void",
        "refund" => "refund",
        "payments" => "authorize",
        _ if path.starts_with("/internal/v1/carts/") => "cart",
        _ if path.starts_with("/internal/v1/payments/by-order/") && method == "GET" => "payment",
        _ => panic!("no neighbour serves {method} {path}"),
    }
}

fn problem(status: u16, code: &str, extra: &Value) -> HttpResponse {
    let mut body = json!({
        "type": "x", "title": "x", "status": status, "detail": code, "code": code,
        "retryable": false, "trace_id": null,
    });
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).json(body)
}

impl State {
    fn act(&mut self, call: &'static str, path: &str, body: &Value, key: &str) -> HttpResponse {
        let parts: Vec<&str> = path.split('/').collect();
        match call {
            "cart" => self.cart(parts[4]),
            "mark" => self.mark(parts[4], body),
            "prices" => self.prices(body),
            "reserve" => self.reserve(body),
            "reservation" => self.read_reservation(parts[4]),
            "confirm" | "release" | "deduct" | "extend" => self.change_reservation(call, body),
            "authorize" => self.authorize(body),
            "payment" => self.payment(parts[5]),
            "refund" => self.refund(parts[5], body, key),
            _ => self.change_payment(call, parts[5]),
        }
    }

    fn cart(&self, cart: &str) -> HttpResponse {
        let Some((items, order)) = self.carts.get(cart) else {
            return HttpResponse::Ok()
                .json(json!({ "cart_id": cart, "items": [], "status": "ACTIVE", "version": 0 }));
        };
        let status = if order.is_some() { "CHECKED_OUT" } else { "ACTIVE" };
        HttpResponse::Ok().json(json!({ "cart_id": cart, "items": items, "status": status, "version": 1 }))
    }

    fn mark(&mut self, cart: &str, body: &Value) -> HttpResponse {
        let order = body["order_id"].as_str().unwrap().to_owned();
        let Some((_, holder)) = self.carts.get_mut(cart) else {
            return HttpResponse::Ok().json(json!({}));
        };
        match holder {
            Some(other) if *other != order => problem(409, "CART_CHECKED_OUT", &json!({})),
            _ => {
                *holder = Some(order);
                HttpResponse::Ok().json(json!({}))
            }
        }
    }

    fn prices(&self, body: &Value) -> HttpResponse {
        let items: Vec<Value> = body["sku_ids"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|sku| {
                let price = self.prices.get(&sku.as_str()?.parse().ok()?)?;
                Some(json!({
                    "sku_id": sku, "product_id": fresh(), "merchant_id": fresh(), "sku": "SKU", "title": "Thing",
                    "options": {}, "price": { "amount_minor": price, "currency": "USD" }, "status": "active",
                }))
            })
            .collect();
        HttpResponse::Ok().json(json!({ "items": items }))
    }

    /// The reservation's id is the order's: enough for a fake, and easy to find again.
    fn reservation_body(order: &str, status: &str) -> Value {
        json!({ "reservation_id": order, "order_id": order, "status": status, "expires_at": null, "items": [] })
    }

    fn read_reservation(&self, order: &str) -> HttpResponse {
        let Some((status, items)) = self.reservations.get(order) else {
            return problem(404, "RESERVATION_NOT_FOUND", &json!({}));
        };
        let (status, reason) = match *status {
            "EXPIRED" => ("RELEASED", Some("EXPIRED")),
            "RELEASED" => ("RELEASED", Some("CANCELLED")),
            status => (status, None),
        };
        let mut body = Self::reservation_body(order, status);
        body["items"] = json!(items);
        body["buyer_id"] = json!(self.holders.get(order));
        body["release_reason"] = json!(reason);
        HttpResponse::Ok().json(body)
    }

    fn reserve(&mut self, body: &Value) -> HttpResponse {
        let order = body["order_id"].as_str().unwrap();
        match self.reservations.get(order) {
            Some(("RELEASED" | "EXPIRED", _)) => {
                return problem(409, "RESERVATION_ALREADY_RELEASED", &json!({}));
            }
            Some((status, _)) => return HttpResponse::Created().json(Self::reservation_body(order, status)),
            None => {}
        }
        let items = body["items"].as_array().unwrap();
        let short: Vec<Value> = items
            .iter()
            .enumerate()
            .filter(|(_, item)| self.stock[&sku(item)] < item["quantity"].as_i64().unwrap())
            .map(|(index, item)| {
                let reason = format!(
                    "{}: {} requested, {} available",
                    sku(item),
                    item["quantity"],
                    self.stock[&sku(item)]
                );
                json!({ "field": format!("items[{index}].sku_id"), "reason": reason })
            })
            .collect();
        if !short.is_empty() {
            return problem(409, "INSUFFICIENT_STOCK", &json!({ "errors": short }));
        }
        for item in items {
            *self.stock.get_mut(&sku(item)).unwrap() -= item["quantity"].as_i64().unwrap();
        }
        self.reservations
            .insert(order.to_owned(), ("RESERVED", items.clone()));
        HttpResponse::Created().json(Self::reservation_body(order, "RESERVED"))
    }

    /// Units go back on sale.
    pub(crate) fn release(&mut self, order: &str) {
        let (status, items) = self.reservations.get_mut(order).unwrap();
        if matches!(*status, "RESERVED" | "CONFIRMED") {
            *status = "RELEASED";
            for item in items.clone() {
                *self.stock.get_mut(&sku(&item)).unwrap() += item["quantity"].as_i64().unwrap();
            }
        }
    }

    fn change_reservation(&mut self, verb: &str, body: &Value) -> HttpResponse {
        let named = body["order_id"].as_str().or(body["reservation_id"].as_str());
        let order = named.unwrap();
        let Some((status, items)) = self.reservations.get_mut(order) else {
            if verb != "release" {
                return problem(404, "RESERVATION_NOT_FOUND", &json!({}));
            }
            // A release of nothing is remembered: a later reservation is refused.
            self.reservations
                .insert(order.to_owned(), ("RELEASED", Vec::new()));
            return HttpResponse::Ok().json(Self::reservation_body(order, "RELEASED"));
        };
        let items = items.clone();
        let next = match (verb, *status) {
            ("confirm", "RESERVED" | "CONFIRMED") => "CONFIRMED",
            ("deduct", "CONFIRMED" | "DEDUCTED") => "DEDUCTED",
            ("deduct", "RESERVED") => return problem(409, "INVALID_STOCK_STATE", &json!({})),
            ("extend", same @ ("RESERVED" | "CONFIRMED")) => same,
            ("confirm" | "deduct" | "extend", "RELEASED" | "EXPIRED") => {
                return problem(409, "RESERVATION_ALREADY_RELEASED", &json!({}));
            }
            ("release", "DEDUCTED") | ("confirm" | "extend", _) => {
                return problem(409, "RESERVATION_ALREADY_DEDUCTED", &json!({}));
            }
            _ => "RELEASED",
        };
        if next == "RELEASED" {
            self.release(order);
        } else {
            *status = next;
        }
        let mut body = Self::reservation_body(order, next);
        body["items"] = json!(items);
        HttpResponse::Ok().json(body)
    }

    fn moved(&mut self, order: &str, verb: &'static str) {
        *self.money_moves.entry((order.to_owned(), verb)).or_default() += 1;
    }

    fn authorize(&mut self, body: &Value) -> HttpResponse {
        let order = body["order_id"].as_str().unwrap();
        if !self.payments.contains_key(order) {
            // Until its method is named, or its customer has paid at the provider.
            self.payments.insert(order.to_owned(), (fresh(), "PENDING"));
            let amount = body["amount"]["amount_minor"].as_i64().unwrap();
            self.money.insert(order.to_owned(), (amount, 0));
        }
        if self.payments[order].1 == "PENDING"
            && let Some(method) = body["payment_method"].as_str()
        {
            let status = match method {
                "pm_declined" => "DECLINED",
                "pm_3ds" => "REQUIRES_ACTION",
                _ => "AUTHORIZED",
            };
            self.moved(order, "authorize");
            self.payments.get_mut(order).unwrap().1 = status;
        }
        let (id, status) = self.payments[order];
        match status {
            "DECLINED" => problem(
                402,
                "PAYMENT_DECLINED",
                &json!({ "decline_code": "generic_decline", "payment_id": id }),
            ),
            "VOIDED" => problem(409, "INVALID_TRANSITION", &json!({})),
            _ => {
                HttpResponse::Created().json(json!({ "payment_id": id, "order_id": order, "status": status }))
            }
        }
    }

    fn payment(&self, order: &str) -> HttpResponse {
        match self.payments.get(order) {
            Some((id, status)) => {
                HttpResponse::Ok().json(json!({ "payment_id": id, "order_id": order, "status": status }))
            }
            None => problem(404, "PAYMENT_NOT_FOUND", &json!({})),
        }
    }

    fn change_payment(&mut self, verb: &'static str, order: &str) -> HttpResponse {
        let next = match (verb, self.payments.get(order).map(|(_, status)| *status)) {
            // A void of nothing is remembered: a later authorization is refused.
            ("void", None) => {
                self.payments.insert(order.to_owned(), (fresh(), "VOIDED"));
                return HttpResponse::Ok().json(json!({ "order_id": order, "status": "VOIDED" }));
            }
            ("void", Some("AUTHORIZED" | "REQUIRES_ACTION" | "PENDING")) => "VOIDED",
            ("capture", Some("AUTHORIZED")) => "CAPTURED",
            ("void", Some(same @ ("VOIDED" | "DECLINED"))) | ("capture", Some(same @ "CAPTURED")) => same,
            _ => return problem(409, "INVALID_TRANSITION", &json!({})),
        };
        if self.payments[order].1 != next {
            self.moved(order, verb);
        }
        let payment = self.payments.get_mut(order).unwrap();
        payment.1 = next;
        let id = payment.0;
        HttpResponse::Ok().json(json!({ "payment_id": id, "order_id": order, "status": next }))
    }
}

impl State {
    /// A part or the rest, once for each key and never more than was captured.
    fn refund(&mut self, order: &str, body: &Value, key: &str) -> HttpResponse {
        let (captured, refunded) = self.money[order];
        let asked = body["amount"]["amount_minor"].as_i64();
        let status = self.payments[order].1;
        let was_done = self.refunds.contains_key(key) || (status == "REFUNDED" && asked.is_none());
        if !was_done {
            let amount = asked.unwrap_or(captured - refunded);
            if status != "CAPTURED" && status != "REFUNDED" {
                return problem(409, "INVALID_TRANSITION", &json!({}));
            }
            if amount > captured - refunded {
                return problem(409, "REFUND_EXCEEDS_CAPTURED", &json!({}));
            }
            self.refunds.insert(key.to_owned(), amount);
            self.moved(order, "refund");
            self.money.insert(order.to_owned(), (captured, refunded + amount));
            if refunded + amount == captured {
                self.payments.get_mut(order).unwrap().1 = "REFUNDED";
            }
        }
        let (id, status) = self.payments[order];
        let refunded = json!({ "amount_minor": self.money[order].1, "currency": "USD" });
        HttpResponse::Ok()
            .json(json!({ "payment_id": id, "order_id": order, "status": status, "refunded": refunded }))
    }
}

fn sku(item: &Value) -> Uuid {
    item["sku_id"].as_str().unwrap().parse().unwrap()
}
