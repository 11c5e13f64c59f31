//! The HTTP API: parse, call, answer.

mod list;

use actix_web::web::{self, ServiceConfig};
use sqlx::PgPool;

pub(crate) use list::{__path_list, NotificationBody, NotificationPage};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) pool: PgPool,
}

pub(crate) fn configure(config: &mut ServiceConfig) {
    config.route("/v1/notifications", web::get().to(list::list));
}
