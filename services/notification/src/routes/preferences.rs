use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Json, Problem, ProblemBody};
use ferrocart_pg_kit::run_tx;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::State;
use crate::domain::{Channel, Kind, Locale, Phone, Preferences, Standing, Switch};
use crate::error::NotificationError;
use crate::sms::Destinations;
use crate::store;

/// More switches than there are.
const ITEMS_MAX: usize = 64;

/// How you want to be written to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreferencesBody {
    /// `null`: the shop's default.
    locale: Option<Locale>,
    /// Where messages by SMS go.
    phone: Option<Phone>,
    /// Every kind of message by every channel that this shop sends by.
    items: Vec<SwitchBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SwitchBody {
    channel: Channel,
    kind: Kind,
    enabled: bool,
    /// Belongs to a purchase and cannot be switched off.
    required: bool,
}

/// What you want from now on; what is not named goes back to its default.
#[derive(Debug, Deserialize, ToSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct NewPreferences {
    #[serde(default)]
    locale: Option<Locale>,
    /// A telephone number as E.164 writes it; needed for messages by SMS.
    #[serde(default)]
    #[schema(value_type = Option<Phone>)]
    phone: Option<String>,
    #[serde(default)]
    #[garde(length(max = ITEMS_MAX))]
    items: Vec<NewSwitch>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSwitch {
    channel: Channel,
    kind: Kind,
    enabled: bool,
    /// Taken and not looked at, so that what was read can be sent back.
    #[serde(default)]
    #[allow(dead_code, reason = "see above")]
    required: Option<bool>,
}

/// How you want to be written to.
#[utoipa::path(get, path = "/v1/notifications/preferences", tag = "notification", security(("bearer" = [])),
    responses((status = 200, body = PreferencesBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn read_preferences(
    caller: Caller,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let customer = caller.user()?.user_id;
    let found = store::preferences(&state.pool, &[customer])
        .await?
        .remove(&customer);
    Ok(HttpResponse::Ok().json(PreferencesBody::new(found.unwrap_or_default(), &state)))
}

/// Says how you want to be written to, all of it at once. That an order is confirmed, cancelled or refunded is always
/// told by e-mail (422 PREFERENCE_REQUIRED). Where
/// the shop sends no SMS, a number cannot be given (422 SMS_UNAVAILABLE).
#[utoipa::path(put, path = "/v1/notifications/preferences", tag = "notification", security(("bearer" = [])),
    request_body = NewPreferences,
    responses((status = 200, body = PreferencesBody), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn write_preferences(
    caller: Caller,
    Json { value: body, .. }: Json<NewPreferences>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let customer = caller.user()?.user_id;
    let wanted = parse(body, state.destinations.as_ref())?;
    let now = state.clock.now();
    run_tx(&state.pool, "preferences", |conn| {
        let wanted = wanted.clone();
        Box::pin(async move { store::replace_preferences(conn, customer, &wanted, now).await })
    })
    .await?;
    Ok(HttpResponse::Ok().json(PreferencesBody::new(wanted, &state)))
}

fn parse(body: NewPreferences, destinations: Option<&Destinations>) -> Result<Preferences, Problem> {
    let switches = switches(body.items)?;
    let phone = phone(body.phone.as_deref(), destinations)?;
    let by_sms = |switch: &Switch| switch.channel == Channel::Sms && switch.enabled;
    if switches.iter().any(by_sms) {
        if destinations.is_none() {
            return Err(no_sms("items"));
        }
        if phone.is_none() {
            return Err(Problem::invalid_field("phone", "is needed for messages by SMS"));
        }
    }
    Ok(Preferences {
        locale: body.locale,
        phone,
        switches,
    })
}

fn phone(text: Option<&str>, destinations: Option<&Destinations>) -> Result<Option<Phone>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let destinations = destinations.ok_or_else(|| no_sms("phone"))?;
    let phone = Phone::parse(text).map_err(|error| Problem::invalid_field("phone", error.to_string()))?;
    if destinations.allow(&phone) {
        Ok(Some(phone))
    } else {
        Err(Problem::invalid_field(
            "phone",
            "is of a country that this shop sends no SMS to",
        ))
    }
}

fn no_sms(field: &'static str) -> Problem {
    Problem::new(
        actix_web::http::StatusCode::UNPROCESSABLE_ENTITY,
        "SMS_UNAVAILABLE",
        "this shop sends no SMS",
    )
    .field(field, "cannot be set")
}

fn switches(items: Vec<NewSwitch>) -> Result<Vec<Switch>, Problem> {
    let mut switches: Vec<Switch> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let field = format!("items[{index}]");
        let NewSwitch {
            channel,
            kind,
            enabled,
            ..
        } = item;
        let twice = switches
            .iter()
            .any(|known| known.channel == channel && known.kind == kind);
        if twice {
            return Err(Problem::invalid_field(field, "stands twice"));
        }
        match kind.standing(channel) {
            Standing::Required if !enabled => {
                return Err(Problem::new(
                    actix_web::http::StatusCode::UNPROCESSABLE_ENTITY,
                    "PREFERENCE_REQUIRED",
                    "messages that belong to a purchase cannot be switched off",
                )
                .field(field, "is required"));
            }
            Standing::Required => {}
            Standing::Optional { .. } => switches.push(Switch {
                channel,
                kind,
                enabled,
            }),
        }
    }
    Ok(switches)
}

impl PreferencesBody {
    fn new(preferences: Preferences, state: &State) -> Self {
        let channels: &[Channel] = if state.destinations.is_some() {
            &Channel::ALL
        } else {
            &[Channel::Email]
        };
        Self {
            items: preferences
                .all(channels)
                .map(|(switch, standing)| SwitchBody {
                    channel: switch.channel,
                    kind: switch.kind,
                    enabled: switch.enabled,
                    required: standing == Standing::Required,
                })
                .collect(),
            locale: preferences.locale,
            phone: preferences.phone,
        }
    }
}
