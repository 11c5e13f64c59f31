//! The HTTP API: parse, call, answer.

mod links;
mod list;
mod preferences;
mod unsubscribe;
pub(crate) mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use chrono::TimeDelta;
use ferrocart_types::{SharedClock, SharedIds};
use sqlx::PgPool;

use crate::domain::Locale;
use crate::mail::{LinkComposer, Mailer, Unsubscribe};
use crate::sms::Destinations;
use crate::webhook::{AddressRules, Safe};
use crate::workers::WorkHandle;

pub(crate) use links::{__path_mail_link, MailLink};
pub(crate) use list::{__path_list, NotificationBody, NotificationPage};
pub(crate) use preferences::{
    __path_read_preferences, __path_write_preferences, NewPreferences, NewSwitch, PreferencesBody, SwitchBody,
};
pub(crate) use unsubscribe::{__path_ask, __path_unsubscribe};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) unsubscribe: Unsubscribe,
    /// Where messages by SMS may go; `None` where none are sent.
    pub(crate) destinations: Option<Destinations>,
    pub(crate) safe: Arc<Safe>,
    pub(crate) rules: AddressRules,
    pub(crate) courier: WorkHandle,
    /// Of one merchant.
    pub(crate) endpoints_max: u32,
    /// How long the secret before a rotation signs as well.
    pub(crate) rotation: TimeDelta,
    pub(crate) post: Arc<Post>,
}

/// The way out for links, which are mailed while their sender waits.
pub(crate) struct Post {
    pub(crate) links: LinkComposer,
    pub(crate) mailer: Arc<dyn Mailer>,
    /// Of customers who have chosen none.
    pub(crate) locale: Locale,
    pub(crate) timeout: Duration,
}

pub(crate) fn configure(config: &mut ServiceConfig) {
    const ENDPOINT: &str = "/v1/webhooks/endpoints/{endpoint_id}";
    let of_endpoint = |path: &str| web::resource(format!("{ENDPOINT}{path}"));
    config
        .route("/internal/v1/links", web::post().to(links::mail_link))
        .route("/v1/notifications", web::get().to(list::list))
        .service(
            web::resource("/v1/notifications/preferences")
                .route(web::get().to(preferences::read_preferences))
                .route(web::put().to(preferences::write_preferences)),
        )
        .service(
            web::resource("/v1/notifications/unsubscribe")
                .route(web::get().to(unsubscribe::ask))
                .route(web::post().to(unsubscribe::unsubscribe)),
        )
        .service(
            web::resource("/v1/webhooks/endpoints")
                .route(web::get().to(webhooks::list_endpoints))
                .route(web::post().to(webhooks::create_endpoint)),
        )
        .service(
            of_endpoint("")
                .route(web::get().to(webhooks::read_endpoint))
                .route(web::patch().to(webhooks::update_endpoint))
                .route(web::delete().to(webhooks::delete_endpoint)),
        )
        .service(of_endpoint("/rotate").route(web::post().to(webhooks::rotate_secret)))
        .service(of_endpoint("/test").route(web::post().to(webhooks::send_test)))
        .service(of_endpoint("/deliveries").route(web::get().to(webhooks::list_deliveries)))
        .service(of_endpoint("/deliveries/{delivery_id}").route(web::get().to(webhooks::read_delivery)))
        .service(
            of_endpoint("/deliveries/{delivery_id}/redeliver").route(web::post().to(webhooks::deliver_again)),
        );
}
