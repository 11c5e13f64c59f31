use actix_web::http::Method;
use ferrocart_http_kit::Role;

/// The services behind the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Service {
    Catalog,
    Search,
    Cart,
    Inventory,
    Order,
    Payment,
    Notification,
}

impl Service {
    pub(crate) const ALL: [Self; 7] = [
        Self::Catalog,
        Self::Search,
        Self::Cart,
        Self::Inventory,
        Self::Order,
        Self::Payment,
        Self::Notification,
    ];

    /// As in the audience of internal tokens.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Search => "search",
            Self::Cart => "cart",
            Self::Inventory => "inventory",
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Notification => "notification",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// Who may make a call. What belongs to one user is checked again by the service that keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Everybody; a token that is sent must be valid all the same.
    Anyone,
    /// Everybody with a token, guests included: the service decides by what belongs to whom.
    LoggedIn,
    /// Who has one of these roles.
    Roles(&'static [Role]),
    /// Callers that prove themselves to the service in another way, and no token is looked at.
    Unchecked,
}

/// What a call counts as for the rate limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    Auth,
    Read,
    Write,
    Checkout,
    Import,
    Stream,
    Webhook,
}

/// How long the service may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Normal,
    Checkout,
    /// Imports, exports and streams: minutes.
    Long,
}

/// What becomes of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRule {
    /// Read whole before the service is called, so that a slow client occupies the gateway alone.
    Small,
    /// Passed on as it comes.
    Import,
}

/// One of the gateway's own endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    Register,
    ReadProfile,
    PutProfile,
    PatchProfile,
    PutRoles,
    EndSessions,
    CreateApiKey,
    ListApiKeys,
    RevokeApiKey,
    LogIn,
    Refresh,
    LogOut,
    Guest,
    AskPasswordReset,
    ConfirmPasswordReset,
    ConfirmEmailChange,
    Jwks,
    OrderEvents,
    StockEvents,
    OpenApi,
    Docs,
    Upstreams,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Own(Own),
    Forward(Service),
    /// To the cart, with the guest whose token stands in the body.
    MergeCart,
}

/// One call of the public API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) verb: Verb,
    pub(crate) path: &'static str,
    pub(crate) target: Target,
    pub(crate) who: Who,
    pub(crate) class: Class,
    pub(crate) pace: Pace,
    pub(crate) body: BodyRule,
    /// Whether it puts a SKU into a cart.
    pub(crate) is_for_flash_sales: bool,
}

impl Rule {
    const fn new(verb: Verb, path: &'static str, target: Target, who: Who) -> Self {
        let class = match verb {
            Verb::Get => Class::Read,
            _ => Class::Write,
        };
        Self {
            verb,
            path,
            target,
            who,
            class,
            pace: Pace::Normal,
            body: BodyRule::Small,
            is_for_flash_sales: false,
        }
    }

    const fn for_flash_sales(mut self) -> Self {
        self.is_for_flash_sales = true;
        self
    }

    const fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    const fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    const fn import(mut self) -> Self {
        self.class = Class::Import;
        self.pace = Pace::Long;
        self.body = BodyRule::Import;
        self
    }
}

const fn get(path: &'static str, service: Service, who: Who) -> Rule {
    Rule::new(Verb::Get, path, Target::Forward(service), who)
}

const fn post(path: &'static str, service: Service, who: Who) -> Rule {
    Rule::new(Verb::Post, path, Target::Forward(service), who)
}

const fn put(path: &'static str, service: Service, who: Who) -> Rule {
    Rule::new(Verb::Put, path, Target::Forward(service), who)
}

const fn patch(path: &'static str, service: Service, who: Who) -> Rule {
    Rule::new(Verb::Patch, path, Target::Forward(service), who)
}

const fn delete(path: &'static str, service: Service, who: Who) -> Rule {
    Rule::new(Verb::Delete, path, Target::Forward(service), who)
}

const fn own(verb: Verb, path: &'static str, endpoint: Own, who: Who) -> Rule {
    Rule::new(verb, path, Target::Own(endpoint), who)
}

const fn auth(path: &'static str, endpoint: Own) -> Rule {
    own(Verb::Post, path, endpoint, Anyone).class(Class::Auth)
}

use Service::{Cart, Catalog, Inventory, Notification, Order, Payment, Search};
use Who::{Anyone, LoggedIn};

const ADMIN: Who = Who::Roles(&[Role::Admin]);
const CUSTOMER: Who = Who::Roles(&[Role::Customer]);
const SHOPPER: Who = Who::Roles(&[Role::Guest, Role::Customer]);
const MERCHANT: Who = Who::Roles(&[Role::Merchant, Role::Admin]);
const STOCK_INSPECTOR: Who = Who::Roles(&[Role::Merchant, Role::Support, Role::Admin]);
const WAREHOUSE: Who = Who::Roles(&[Role::Warehouse, Role::Admin]);
const REVIEW_REMOVER: Who = Who::Roles(&[Role::Customer, Role::Support, Role::Admin]);
const SUPPORT: Who = Who::Roles(&[Role::Support, Role::Admin]);

/// The whole public API. What is not here is not reachable.
pub(crate) static RULES: &[Rule] = &[
    // The gateway's own.
    own(Verb::Post, "/v1/users", Own::Register, Anyone).class(Class::Auth),
    own(Verb::Get, "/v1/users/{user_id}", Own::ReadProfile, LoggedIn),
    own(Verb::Put, "/v1/users/{user_id}", Own::PutProfile, LoggedIn).class(Class::Auth),
    own(Verb::Patch, "/v1/users/{user_id}", Own::PatchProfile, LoggedIn).class(Class::Auth),
    own(Verb::Put, "/v1/users/{user_id}/roles", Own::PutRoles, ADMIN),
    own(
        Verb::Delete,
        "/v1/users/{user_id}/sessions",
        Own::EndSessions,
        LoggedIn,
    )
    .class(Class::Auth),
    own(
        Verb::Post,
        "/v1/users/{user_id}/api-keys",
        Own::CreateApiKey,
        LoggedIn,
    )
    .class(Class::Auth),
    own(
        Verb::Get,
        "/v1/users/{user_id}/api-keys",
        Own::ListApiKeys,
        LoggedIn,
    ),
    own(
        Verb::Delete,
        "/v1/users/{user_id}/api-keys/{key_id}",
        Own::RevokeApiKey,
        LoggedIn,
    )
    .class(Class::Auth),
    auth("/v1/auth/token", Own::LogIn),
    auth("/v1/auth/refresh", Own::Refresh),
    auth("/v1/auth/logout", Own::LogOut),
    auth("/v1/auth/guest", Own::Guest),
    auth("/v1/auth/password-reset", Own::AskPasswordReset),
    auth("/v1/auth/password-reset/confirm", Own::ConfirmPasswordReset),
    auth("/v1/auth/email-change/confirm", Own::ConfirmEmailChange),
    own(Verb::Get, "/.well-known/jwks.json", Own::Jwks, Anyone),
    own(Verb::Get, "/openapi.json", Own::OpenApi, Anyone),
    own(Verb::Get, "/v1/openapi.json", Own::OpenApi, Anyone),
    own(Verb::Get, "/docs", Own::Docs, Anyone),
    own(Verb::Get, "/health/upstreams", Own::Upstreams, Anyone),
    own(
        Verb::Get,
        "/v1/orders/{order_id}/events",
        Own::OrderEvents,
        LoggedIn,
    )
    .class(Class::Stream),
    own(
        Verb::Get,
        "/v1/inventory/{sku_id}/events",
        Own::StockEvents,
        Anyone,
    )
    .class(Class::Stream),
    // Catalog.
    get("/v1/categories", Catalog, Anyone),
    post("/v1/categories", Catalog, MERCHANT),
    get("/v1/categories/{category_id}/attributes", Catalog, MERCHANT),
    put("/v1/categories/{category_id}/attributes", Catalog, ADMIN),
    get("/v1/products", Catalog, Anyone),
    post("/v1/products", Catalog, MERCHANT),
    get("/v1/products:batch", Catalog, Anyone),
    post("/v1/products:import", Catalog, MERCHANT).import(),
    get("/v1/products:export", Catalog, MERCHANT)
        .class(Class::Import)
        .pace(Pace::Long),
    get("/v1/imports/{import_id}", Catalog, MERCHANT),
    get("/v1/imports/{import_id}/errors", Catalog, MERCHANT),
    get("/v1/products/{product_id}", Catalog, Anyone),
    put("/v1/products/{product_id}", Catalog, MERCHANT),
    patch("/v1/products/{product_id}", Catalog, MERCHANT),
    delete("/v1/products/{product_id}", Catalog, MERCHANT),
    get("/v1/products/{product_id}/reviews", Catalog, Anyone),
    post("/v1/products/{product_id}/reviews", Catalog, CUSTOMER),
    put("/v1/products/{product_id}/reviews/{review_id}", Catalog, CUSTOMER),
    delete(
        "/v1/products/{product_id}/reviews/{review_id}",
        Catalog,
        REVIEW_REMOVER,
    ),
    put(
        "/v1/products/{product_id}/reviews/{review_id}/status",
        Catalog,
        SUPPORT,
    ),
    put(
        "/v1/products/{product_id}/reviews/{review_id}/helpful",
        Catalog,
        CUSTOMER,
    ),
    delete(
        "/v1/products/{product_id}/reviews/{review_id}/helpful",
        Catalog,
        CUSTOMER,
    ),
    get("/v1/admin/reviews", Catalog, SUPPORT),
    // Search.
    get("/v1/search", Search, Anyone),
    get("/v1/search/suggest", Search, Anyone),
    get("/v1/admin/search/index", Search, SUPPORT),
    post("/v1/admin/search/index/rebuild", Search, ADMIN),
    // Cart.
    get("/v1/cart", Cart, SHOPPER),
    delete("/v1/cart", Cart, SHOPPER),
    post("/v1/cart/items", Cart, SHOPPER).for_flash_sales(),
    put("/v1/cart/items/{sku_id}", Cart, SHOPPER).for_flash_sales(),
    delete("/v1/cart/items/{sku_id}", Cart, SHOPPER),
    Rule::new(Verb::Post, "/v1/cart/merge", Target::MergeCart, CUSTOMER),
    // Checkout and orders.
    post("/v1/checkout", Order, SHOPPER)
        .class(Class::Checkout)
        .pace(Pace::Checkout),
    post("/v1/orders", Order, CUSTOMER)
        .class(Class::Checkout)
        .pace(Pace::Checkout),
    get("/v1/orders", Order, LoggedIn),
    get("/v1/orders/{order_id}", Order, LoggedIn),
    put("/v1/orders/{order_id}/payment", Order, CUSTOMER).pace(Pace::Checkout),
    put("/v1/orders/{order_id}/cancel", Order, LoggedIn).pace(Pace::Checkout),
    put("/v1/orders/{order_id}/ship", Order, WAREHOUSE).pace(Pace::Checkout),
    put("/v1/orders/{order_id}/deliver", Order, WAREHOUSE).pace(Pace::Checkout),
    put("/v1/orders/{order_id}/refund", Order, SUPPORT).pace(Pace::Checkout),
    get("/v1/admin/sagas", Order, SUPPORT),
    post("/v1/admin/sagas/{saga_id}/retry", Order, ADMIN),
    post("/v1/admin/sagas/{saga_id}/cancel", Order, ADMIN),
    // Inventory.
    get("/v1/inventory", Inventory, Anyone),
    post("/v1/inventory", Inventory, MERCHANT),
    post("/v1/inventory:batch", Inventory, MERCHANT).pace(Pace::Checkout),
    post("/v1/inventory/reserve", Inventory, MERCHANT),
    post("/v1/inventory/confirm", Inventory, MERCHANT),
    post("/v1/inventory/release", Inventory, MERCHANT),
    post("/v1/inventory/deduct", Inventory, MERCHANT),
    get("/v1/inventory/reservations/{reservation_id}", Inventory, MERCHANT),
    get("/v1/inventory/{sku_id}", Inventory, Anyone),
    put("/v1/inventory/{sku_id}", Inventory, MERCHANT),
    delete("/v1/inventory/{sku_id}", Inventory, MERCHANT),
    post("/v1/inventory/{sku_id}/adjustments", Inventory, MERCHANT),
    get("/v1/inventory/{sku_id}/drift", Inventory, STOCK_INSPECTOR),
    get("/v1/inventory/{sku_id}/history", Inventory, STOCK_INSPECTOR),
    post("/v1/holds", Inventory, CUSTOMER).class(Class::Checkout),
    get("/v1/holds/{hold_id}", Inventory, CUSTOMER),
    delete("/v1/holds/{hold_id}", Inventory, CUSTOMER),
    get("/v1/flash-sales", Inventory, Anyone),
    post("/v1/flash-sales", Inventory, MERCHANT),
    get("/v1/flash-sales/{sale_id}", Inventory, Anyone),
    get("/v1/flash-sales/{sale_id}/events", Inventory, Anyone)
        .class(Class::Stream)
        .pace(Pace::Long),
    post("/v1/flash-sales/{sale_id}/preload", Inventory, MERCHANT),
    post("/v1/flash-sales/{sale_id}/start", Inventory, MERCHANT),
    post("/v1/flash-sales/{sale_id}/stop", Inventory, MERCHANT),
    post("/v1/waitlist", Inventory, CUSTOMER).pace(Pace::Long),
    get("/v1/waitlist/{ticket}", Inventory, CUSTOMER)
        .class(Class::Stream)
        .pace(Pace::Long),
    delete("/v1/waitlist/{ticket}", Inventory, CUSTOMER),
    // Payment.
    post("/v1/payments/webhook", Payment, Who::Unchecked).class(Class::Webhook),
    get("/v1/payments/{payment_id}", Payment, LoggedIn),
    get("/v1/payments/{payment_id}/client-secret", Payment, CUSTOMER),
    get("/v1/admin/payments/reconciliation", Payment, SUPPORT),
    post("/v1/admin/payments/reconciliation", Payment, ADMIN),
    // Notification.
    get("/v1/notifications", Notification, LoggedIn),
    get("/v1/notifications/preferences", Notification, LoggedIn),
    put("/v1/notifications/preferences", Notification, LoggedIn),
    get("/v1/notifications/unsubscribe", Notification, Anyone),
    post("/v1/notifications/unsubscribe", Notification, Anyone),
    get("/v1/webhooks/endpoints", Notification, MERCHANT),
    post("/v1/webhooks/endpoints", Notification, MERCHANT),
    get("/v1/webhooks/endpoints/{endpoint_id}", Notification, MERCHANT),
    patch("/v1/webhooks/endpoints/{endpoint_id}", Notification, MERCHANT),
    delete("/v1/webhooks/endpoints/{endpoint_id}", Notification, MERCHANT),
    post(
        "/v1/webhooks/endpoints/{endpoint_id}/rotate",
        Notification,
        MERCHANT,
    ),
    post(
        "/v1/webhooks/endpoints/{endpoint_id}/test",
        Notification,
        MERCHANT,
    ),
    get(
        "/v1/webhooks/endpoints/{endpoint_id}/deliveries",
        Notification,
        MERCHANT,
    ),
    get(
        "/v1/webhooks/endpoints/{endpoint_id}/deliveries/{delivery_id}",
        Notification,
        MERCHANT,
    ),
    post(
        "/v1/webhooks/endpoints/{endpoint_id}/deliveries/{delivery_id}/redeliver",
        Notification,
        MERCHANT,
    ),
];

/// Method and path of every public call.
pub fn public_routes() -> impl Iterator<Item = (String, &'static str)> {
    RULES
        .iter()
        .map(|rule| (rule.verb.method().to_string(), rule.path))
}

/// The rules by path, in the order in which the paths first stand in the table: of two paths that match,
/// the first wins.
/// Paths that are asked for most stand first: actix tries one after the other.
pub(crate) fn by_path() -> Vec<(&'static str, Vec<&'static Rule>)> {
    let mut paths: Vec<(&'static str, Vec<&'static Rule>)> = Vec::new();
    for rule in RULES {
        match paths.iter_mut().find(|(path, _)| *path == rule.path) {
            Some((_, rules)) => rules.push(rule),
            None => paths.push((rule.path, vec![rule])),
        }
    }
    // None of these matches a path of another rule.
    let place = |path: &str| {
        let mut busy = BUSY.iter();
        busy.position(|busy| *busy == path).unwrap_or(BUSY.len())
    };
    paths.sort_by_key(|(path, _)| place(path));
    paths
}

const BUSY: [&str; 5] = [
    "/v1/products/{product_id}",
    "/v1/search",
    "/v1/cart",
    "/v1/cart/items",
    "/v1/orders/{order_id}",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_call_stands_twice_and_none_is_internal() {
        let mut seen = HashSet::new();
        for rule in RULES {
            assert!(
                seen.insert((rule.verb, rule.path)),
                "{:?} {} twice",
                rule.verb,
                rule.path
            );
            assert!(!rule.path.contains("internal"), "{}", rule.path);
        }
    }

    #[test]
    fn a_literal_path_stands_before_the_pattern_that_would_swallow_it() {
        let paths: Vec<&str> = by_path().into_iter().map(|(path, _)| path).collect();
        for (index, path) in paths.iter().enumerate() {
            let parts: Vec<&str> = path.split('/').collect();
            for earlier in &paths[..index] {
                let pattern: Vec<&str> = earlier.split('/').collect();
                let swallows = pattern.len() == parts.len()
                    && pattern
                        .iter()
                        .zip(&parts)
                        .all(|(pattern, part)| pattern.starts_with('{') || pattern == part);
                assert!(!swallows, "{earlier} swallows {path}");
            }
        }
    }

    #[test]
    fn nothing_that_changes_something_is_open_but_what_must_be() {
        let open: Vec<&str> = RULES
            .iter()
            .filter(|rule| rule.verb != Verb::Get && matches!(rule.who, Anyone | Who::Unchecked))
            .map(|rule| rule.path)
            .collect();
        assert_eq!(
            open,
            [
                "/v1/users",
                "/v1/auth/token",
                "/v1/auth/refresh",
                "/v1/auth/logout",
                "/v1/auth/guest",
                "/v1/auth/password-reset",
                "/v1/auth/password-reset/confirm",
                "/v1/auth/email-change/confirm",
                "/v1/payments/webhook",
                "/v1/notifications/unsubscribe"
            ]
        );
    }
}
