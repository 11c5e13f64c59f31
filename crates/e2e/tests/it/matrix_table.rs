//! The table of `matrix`, written by hand.

use ferrocart_stack::Service;

/// Who answers a call.
#[derive(Clone, Copy)]
pub(crate) enum Home {
    Gateway,
    /// The gateway makes another call of it than the client did.
    Changed,
    At(Service, &'static str),
}

pub(crate) struct Row {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) home: Home,
    pub(crate) body: &'static str,
    /// A sign for each of: nobody, a guest, another customer, another merchant, the warehouse, the customer,
    /// the merchant, support, an administrator.
    ///
    /// - `-` 401, log in first; `x` 403; `0` 404, as if it were not there;
    /// - `2` 2xx; `+` let in: the answer is about the request (`2xx`, 400, 409, …), no refusal;
    /// - `b` let in as a buyer, or told that only buyers are;
    /// - `~` let in by the gateway; the call is not built yet.
    pub(crate) signs: &'static str,
}

impl Row {
    /// Method, path and body.
    pub(crate) fn call(&self) -> (&'static str, &'static str, &'static str) {
        (self.method, self.path, self.body)
    }
}

const fn row(
    method: &'static str,
    path: &'static str,
    home: Home,
    body: &'static str,
    signs: &'static str,
) -> Row {
    Row {
        method,
        path,
        home,
        body,
        signs,
    }
}

const G: Home = Home::Gateway;
const CATALOG: Home = Home::At(Service::Catalog, "catalog");
const SEARCH: Home = Home::At(Service::Search, "search");
const CART: Home = Home::At(Service::Cart, "cart");
const INVENTORY: Home = Home::At(Service::Inventory, "inventory");
const ORDER: Home = Home::At(Service::Order, "order");
const PAYMENT: Home = Home::At(Service::Payment, "payment");
const NOTIFICATION: Home = Home::At(Service::Notification, "notification");

const N: &str = "{}";

const CHECKOUT: &str = r#"{"payment_method": "pm_card_visa", "email": "ada@example.com", "shipping_address": {"name": "Ada Lovelace", "line1": "1 Main St", "city": "Springfield", "postal_code": "12345", "country": "US"}}"#;
const ORDER_OF_HOLD: &str = r#"{"hold_id": "{any}", "payment_method": "pm_card_visa", "shipping_address": {"name": "Ada Lovelace", "line1": "1 Main St", "city": "Springfield", "postal_code": "12345", "country": "US"}}"#;

pub(crate) const TABLE: &[Row] = &[
    row("POST", "/v1/users", G, N, "+++++++++"),
    row("GET", "/v1/users/{user}", G, N, "-xxxx2xx2"),
    row(
        "PUT",
        "/v1/users/{user}",
        G,
        r#"{"email": "{email}", "name": "Ada"}"#,
        "-xxxx2xx2",
    ),
    row("PATCH", "/v1/users/{user}", G, r#"{"name": "Ada"}"#, "-xxxx2xx2"),
    row(
        "PUT",
        "/v1/users/{user}/roles",
        G,
        r#"{"roles": ["customer"]}"#,
        "-xxxxxxx2",
    ),
    row("DELETE", "/v1/users/{user}/sessions", G, N, "-xxxx2xx2"),
    row(
        "POST",
        "/v1/users/{user}/api-keys",
        G,
        r#"{"name": "Report", "scope": "read"}"#,
        "-xxxx2xxx",
    ),
    row("GET", "/v1/users/{user}/api-keys", G, N, "-xxxx2xx2"),
    row("DELETE", "/v1/users/{user}/api-keys/{any}", G, N, "-xxxx0xx0"),
    row("POST", "/v1/auth/token", G, N, "+++++++++"),
    row("POST", "/v1/auth/refresh", G, N, "+++++++++"),
    row("POST", "/v1/auth/logout", G, N, "+++++++++"),
    row("POST", "/v1/auth/guest", G, N, "222222222"),
    row("POST", "/v1/auth/password-reset", G, N, "+++++++++"),
    row("POST", "/v1/auth/password-reset/confirm", G, N, "+++++++++"),
    row("POST", "/v1/auth/email-change/confirm", G, N, "+++++++++"),
    row("GET", "/.well-known/jwks.json", G, N, "222222222"),
    row("GET", "/openapi.json", G, N, "222222222"),
    row("GET", "/docs", G, N, "222222222"),
    row("GET", "/health/upstreams", G, N, "222222222"),
    row("GET", "/v1/categories", CATALOG, N, "222222222"),
    row(
        "POST",
        "/v1/categories",
        CATALOG,
        r#"{"slug": "matrix", "name": "Matrix"}"#,
        "-xx+xx+x+",
    ),
    row(
        "GET",
        "/v1/categories/{category}/attributes",
        CATALOG,
        N,
        "-xx2xx2x2",
    ),
    row(
        "PUT",
        "/v1/categories/{category}/attributes",
        CATALOG,
        r#"{"attributes": []}"#,
        "-xxxxxxx2",
    ),
    row("GET", "/v1/products", CATALOG, N, "222222222"),
    row("POST", "/v1/products", CATALOG, "product", "-xx+xx+x+"),
    row("GET", "/v1/products:batch?ids={product}", CATALOG, N, "222222222"),
    row("POST", "/v1/products:import", CATALOG, N, "-xx+xx+x+"),
    row("GET", "/v1/products:export", CATALOG, N, "-xx2xx2x2"),
    row("GET", "/v1/imports/{any}", CATALOG, N, "-xx0xx0x0"),
    row("GET", "/v1/imports/{any}/errors", CATALOG, N, "-xx0xx0x0"),
    row("GET", "/v1/products/{product}", CATALOG, N, "222222222"),
    row("PUT", "/v1/products/{product}", CATALOG, "product", "-xxxxx+x+"),
    row(
        "PATCH",
        "/v1/products/{product}",
        CATALOG,
        r#"{"title": "A matrix"}"#,
        "-xxxxx+x+",
    ),
    row("GET", "/v1/products/{product}/reviews", CATALOG, N, "222222222"),
    row(
        "POST",
        "/v1/products/{product}/reviews",
        CATALOG,
        r#"{"rating": 5, "title": "Fine"}"#,
        "-xbxxbxxx",
    ),
    row(
        "PUT",
        "/v1/products/{product}/reviews/{any}",
        CATALOG,
        r#"{"rating": 4, "title": "Fine"}"#,
        "-x0xx0xxx",
    ),
    row(
        "DELETE",
        "/v1/products/{product}/reviews/{any}",
        CATALOG,
        N,
        "-x0xx0x00",
    ),
    row(
        "PUT",
        "/v1/products/{product}/reviews/{any}/status",
        CATALOG,
        r#"{"status": "published"}"#,
        "-xxxxxx00",
    ),
    row(
        "PUT",
        "/v1/products/{product}/reviews/{any}/helpful",
        CATALOG,
        N,
        "-x0xx0xxx",
    ),
    row(
        "DELETE",
        "/v1/products/{product}/reviews/{any}/helpful",
        CATALOG,
        N,
        "-x+xx+xxx",
    ),
    row("GET", "/v1/admin/reviews", CATALOG, N, "-xxxxxx22"),
    row("GET", "/v1/admin/search/index", SEARCH, N, "-xxxxxx22"),
    row("POST", "/v1/admin/search/index/rebuild", SEARCH, N, "-xxxxxxx+"),
    row("GET", "/v1/search?q=matrix", SEARCH, N, "222222222"),
    row("GET", "/v1/search/suggest?q=mat", SEARCH, N, "222222222"),
    row("GET", "/v1/cart", CART, N, "-22xx2xxx"),
    row(
        "POST",
        "/v1/cart/items",
        CART,
        r#"{"sku_id": "{sku}", "quantity": 1}"#,
        "-++xx+xxx",
    ),
    row(
        "PUT",
        "/v1/cart/items/{sku}",
        CART,
        r#"{"quantity": 1}"#,
        "-++xx+xxx",
    ),
    row("DELETE", "/v1/cart/items/{sku}", CART, N, "-++xx+xxx"),
    row("POST", "/v1/cart/merge", Home::Changed, N, "-x+xx+xxx"),
    row("DELETE", "/v1/cart", CART, N, "-++xx+xxx"),
    row("POST", "/v1/checkout", ORDER, CHECKOUT, "-++xx+xxx"),
    row("POST", "/v1/orders", ORDER, ORDER_OF_HOLD, "-x+xx+xxx"),
    row("GET", "/v1/orders", ORDER, N, "-22222222"),
    row("GET", "/v1/orders/{order}", ORDER, N, "-00022022"),
    row("GET", "/v1/orders/{order}/events", G, N, "-00022022"),
    row(
        "PUT",
        "/v1/orders/{order}/payment",
        ORDER,
        r#"{"payment_method": "pm_card_visa"}"#,
        "-x0xx+xxx",
    ),
    row("PUT", "/v1/orders/{order}/ship", ORDER, N, "-xxx+xxx+"),
    row("PUT", "/v1/orders/{order}/cancel", ORDER, N, "-000x+0++"),
    row("PUT", "/v1/orders/{order}/deliver", ORDER, N, "-xxx+xxx+"),
    row("PUT", "/v1/orders/{order}/refund", ORDER, N, "-xxxxxx++"),
    row("GET", "/v1/admin/sagas", ORDER, N, "-xxxxxx22"),
    row("POST", "/v1/admin/sagas/{any}/retry", ORDER, N, "-xxxxxxx0"),
    row("POST", "/v1/admin/sagas/{any}/cancel", ORDER, N, "-xxxxxxx0"),
    row("GET", "/v1/inventory?sku_ids={sku}", INVENTORY, N, "222222222"),
    row(
        "POST",
        "/v1/inventory",
        INVENTORY,
        r#"{"sku_id": "{sku}", "on_hand": 1000}"#,
        "-xxxxx+x+",
    ),
    row(
        "POST",
        "/v1/inventory:batch",
        INVENTORY,
        r#"{"items": [{"sku_id": "{sku}", "on_hand": 1000}]}"#,
        "-xxxxx+x+",
    ),
    row(
        "POST",
        "/v1/inventory/reserve",
        INVENTORY,
        r#"{"order_id": "{any}", "buyer_id": "{user}", "items": [{"sku_id": "{sku}", "quantity": 1}]}"#,
        "-xxxxx+x+",
    ),
    row(
        "GET",
        "/v1/inventory/reservations/{reservation}",
        INVENTORY,
        N,
        "-xxxxx2x2",
    ),
    row(
        "POST",
        "/v1/inventory/confirm",
        INVENTORY,
        r#"{"reservation_id": "{reservation}"}"#,
        "-xxxxx+x+",
    ),
    row(
        "POST",
        "/v1/inventory/deduct",
        INVENTORY,
        r#"{"reservation_id": "{reservation}"}"#,
        "-xxxxx+x+",
    ),
    row(
        "POST",
        "/v1/inventory/release",
        INVENTORY,
        r#"{"reservation_id": "{reservation}"}"#,
        "-xxxxx+x+",
    ),
    row("GET", "/v1/inventory/{sku}", INVENTORY, N, "222222222"),
    row(
        "PUT",
        "/v1/inventory/{sku}",
        INVENTORY,
        r#"{"on_hand": 900}"#,
        "-xxxxx+x+",
    ),
    row(
        "POST",
        "/v1/inventory/{sku}/adjustments",
        INVENTORY,
        r#"{"delta": 1, "reason": "counted", "channel": "store"}"#,
        "-xxxxx+x+",
    ),
    row("GET", "/v1/inventory/{sku}/drift", INVENTORY, N, "-xxxxx222"),
    row("GET", "/v1/inventory/{sku}/history", INVENTORY, N, "-xxxxx222"),
    row(
        "POST",
        "/v1/holds",
        INVENTORY,
        r#"{"sku_id": "{sku}", "quantity": 1}"#,
        "-x+xx+xxx",
    ),
    row("GET", "/v1/holds/{hold}", INVENTORY, N, "-x0xx2xxx"),
    row("DELETE", "/v1/holds/{hold}", INVENTORY, N, "-x0xx+xxx"),
    row("GET", "/v1/flash-sales", INVENTORY, N, "222222222"),
    row(
        "POST",
        "/v1/flash-sales",
        INVENTORY,
        r#"{"sku_id": "{sku}", "name": "Matrix", "units_per_buyer_max": 5}"#,
        "-xxxxx+x+",
    ),
    row("GET", "/v1/flash-sales/{sale}", INVENTORY, N, "222222222"),
    row("GET", "/v1/inventory/{sku}/events", G, N, "222222222"),
    row("GET", "/v1/flash-sales/{sale}/events", INVENTORY, N, "222222222"),
    row(
        "POST",
        "/v1/flash-sales/{sale}/preload",
        INVENTORY,
        N,
        "-xxxxx+x+",
    ),
    row("POST", "/v1/flash-sales/{sale}/start", INVENTORY, N, "-xxxxx+x+"),
    row("POST", "/v1/flash-sales/{sale}/stop", INVENTORY, N, "-xxxxx+x+"),
    row(
        "POST",
        "/v1/waitlist",
        INVENTORY,
        r#"{"sku_id": "{sku}"}"#,
        "-x+xx+xxx",
    ),
    row("GET", "/v1/waitlist/{any}", INVENTORY, N, "-x0xx0xxx"),
    row("DELETE", "/v1/waitlist/{any}", INVENTORY, N, "-x0xx0xxx"),
    row("POST", "/v1/payments/webhook", G, N, "+++++++++"),
    row("GET", "/v1/payments/{payment}", PAYMENT, N, "-00002022"),
    row(
        "GET",
        "/v1/payments/{payment}/client-secret",
        PAYMENT,
        N,
        "-x0xx+xxx",
    ),
    row(
        "GET",
        "/v1/admin/payments/reconciliation",
        PAYMENT,
        N,
        "-xxxxxx22",
    ),
    row(
        "POST",
        "/v1/admin/payments/reconciliation",
        PAYMENT,
        N,
        "-xxxxxxx+",
    ),
    row("GET", "/v1/notifications", NOTIFICATION, N, "-22222222"),
    row(
        "GET",
        "/v1/notifications/preferences",
        NOTIFICATION,
        N,
        "-22222222",
    ),
    row(
        "PUT",
        "/v1/notifications/preferences",
        NOTIFICATION,
        N,
        "-22222222",
    ),
    row(
        "GET",
        "/v1/notifications/unsubscribe?token=x",
        NOTIFICATION,
        N,
        "+++++++++",
    ),
    row(
        "POST",
        "/v1/notifications/unsubscribe?token=x",
        NOTIFICATION,
        N,
        "+++++++++",
    ),
    row("GET", "/v1/webhooks/endpoints", NOTIFICATION, N, "-xx2xx2x2"),
    row(
        "POST",
        "/v1/webhooks/endpoints",
        NOTIFICATION,
        r#"{"url": "http://127.0.0.1:9/"}"#,
        "-xx+xx+x+",
    ),
    row(
        "GET",
        "/v1/webhooks/endpoints/{any}",
        NOTIFICATION,
        N,
        "-xx0xx0x0",
    ),
    row(
        "PATCH",
        "/v1/webhooks/endpoints/{any}",
        NOTIFICATION,
        N,
        "-xx0xx0x0",
    ),
    row(
        "POST",
        "/v1/webhooks/endpoints/{any}/rotate",
        NOTIFICATION,
        N,
        "-xx0xx0x0",
    ),
    row(
        "POST",
        "/v1/webhooks/endpoints/{any}/test",
        NOTIFICATION,
        N,
        "-xx0xx0x0",
    ),
    row(
        "GET",
        "/v1/webhooks/endpoints/{any}/deliveries",
        NOTIFICATION,
        N,
        "-xx0xx0x0",
    ),
    row(
        "GET",
        "/v1/webhooks/endpoints/{any}/deliveries/{any}",
        NOTIFICATION,
        N,
        "-xx0xx0x0",
    ),
    row(
        "POST",
        "/v1/webhooks/endpoints/{any}/deliveries/{any}/redeliver",
        NOTIFICATION,
        N,
        "-xx0xx0x0",
    ),
    row(
        "DELETE",
        "/v1/webhooks/endpoints/{any}",
        NOTIFICATION,
        N,
        "-xx0xx0x0",
    ),
    row("DELETE", "/v1/inventory/{sku}", INVENTORY, N, "-xxxxx+x+"),
    row("DELETE", "/v1/products/{product}", CATALOG, N, "-xxxxx+x+"),
];
