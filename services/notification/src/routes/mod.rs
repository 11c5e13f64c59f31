//! The HTTP API: parse, call, answer.

mod list;
mod preferences;

use actix_web::web::{self, ServiceConfig};
use ferrocart_types::SharedClock;
use sqlx::PgPool;

pub(crate) use list::{__path_list, NotificationBody, NotificationPage};
pub(crate) use preferences::{
    __path_read_preferences, __path_write_preferences, NewPreferences, NewSwitch, PreferencesBody, SwitchBody,
};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
}

pub(crate) fn configure(config: &mut ServiceConfig) {
    config
        .route("/v1/notifications", web::get().to(list::list))
        .service(
            web::resource("/v1/notifications/preferences")
                .route(web::get().to(preferences::read_preferences))
                .route(web::put().to(preferences::write_preferences)),
        );
}
