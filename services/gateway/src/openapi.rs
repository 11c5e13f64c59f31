use ferrocart_http_kit::BearerAuth;
use utoipa::OpenApi;

use crate::routes::{api_keys, auth, email_changes, order_events, password_resets, stock_events, users};

/// The gateway's own part of the public document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ferrocart",
        description = "The public API of Ferrocart, an e-commerce backend. Errors are RFC 9457 problems; \
                       programs decide by their `code`.",
    ),
    servers((url = "/", description = "this gateway")),
    paths(
        users::register,
        users::get,
        users::put,
        users::patch,
        users::put_roles,
        users::end_sessions,
        api_keys::create,
        api_keys::list,
        api_keys::revoke,
        auth::log_in,
        auth::refresh,
        auth::log_out,
        auth::guest,
        password_resets::ask,
        password_resets::confirm,
        email_changes::confirm,
        auth::jwks,
        order_events::stream,
        stock_events::stream,
    ),
    tags(
        (name = "auth", description = "Tokens: logging in, refreshing, guests"),
        (name = "users", description = "Accounts"),
        (name = "inventory", description = "Stock of SKUs"),
        (name = "orders", description = "Checkout and orders"),
    ),
    modifiers(&BearerAuth),
    security(("bearer" = [])),
)]
pub(crate) struct ApiDoc;
