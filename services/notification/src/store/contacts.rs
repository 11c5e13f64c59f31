use std::collections::HashMap;
use std::str::FromStr;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{Timestamp, UserId};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::domain::{Channel, Kind, Locale, Phone, Preferences, Switch};

/// How these customers want to be written to; who has said nothing is not in the answer.
pub(crate) async fn preferences(
    pool: &PgPool,
    customers: &[UserId],
) -> Result<HashMap<UserId, Preferences>, StoreError> {
    preferences_in(&mut *pool.acquire().await?, customers).await
}

/// The same within a transaction.
pub(crate) async fn preferences_in(
    conn: &mut PgConnection,
    customers: &[UserId],
) -> Result<HashMap<UserId, Preferences>, StoreError> {
    const OP: &str = "contacts.read";
    let rows = sqlx::query(
        "SELECT c.customer_id, c.locale, c.phone, s.channel, s.kind, s.enabled
         FROM contacts c LEFT JOIN preferences s USING (customer_id)
         WHERE c.customer_id = ANY($1)",
    )
    .bind(customers.iter().map(UserId::as_uuid).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .op(OP)?;
    let mut found: HashMap<UserId, Preferences> = HashMap::new();
    for row in &rows {
        let id: Uuid = row.try_get("customer_id").op(OP)?;
        let preferences = found.entry(UserId(id)).or_default();
        preferences.locale = optional(row.try_get("locale").op(OP)?, "contacts", "locale", id)?;
        preferences.phone = optional(row.try_get("phone").op(OP)?, "contacts", "phone", id)?;
        let (channel, kind): (Option<&str>, Option<&str>) =
            (row.try_get("channel").op(OP)?, row.try_get("kind").op(OP)?);
        let channel: Option<Channel> = optional(channel, "preferences", "channel", id)?;
        let kind: Option<Kind> = optional(kind, "preferences", "kind", id)?;
        if let (Some(channel), Some(kind)) = (channel, kind) {
            let enabled = row.try_get("enabled").op(OP)?;
            preferences.switches.push(Switch {
                channel,
                kind,
                enabled,
            });
        }
    }
    Ok(found)
}

fn optional<T: FromStr>(
    text: Option<&str>,
    table: &'static str,
    column: &'static str,
    row: Uuid,
) -> Result<Option<T>, StoreError> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|_| StoreError::Corrupt {
        table,
        column,
        row: row.to_string(),
        reason: "cannot be read".to_owned(),
    })
}

/// Puts what a customer wants in the place of what they wanted.
pub(crate) async fn replace_preferences(
    conn: &mut PgConnection,
    customer: UserId,
    wanted: &Preferences,
    now: Timestamp,
) -> Result<(), StoreError> {
    const OP: &str = "contacts.replace";
    sqlx::query(
        "INSERT INTO contacts (customer_id, locale, updated_at, phone) VALUES ($1, $2, $3, $4)
         ON CONFLICT (customer_id) DO UPDATE
         SET locale = excluded.locale, phone = excluded.phone, updated_at = excluded.updated_at",
    )
    .bind(customer.as_uuid())
    .bind(wanted.locale.map(Locale::as_str))
    .bind(now)
    .bind(wanted.phone.as_ref().map(Phone::as_str))
    .execute(&mut *conn)
    .await
    .op(OP)?;
    sqlx::query("DELETE FROM preferences WHERE customer_id = $1")
        .bind(customer.as_uuid())
        .execute(&mut *conn)
        .await
        .op(OP)?;
    sqlx::query(
        "INSERT INTO preferences (customer_id, channel, kind, enabled, updated_at)
         SELECT $1, channel, kind, enabled, $5 FROM UNNEST($2::text[], $3::text[], $4::boolean[])
              AS wanted (channel, kind, enabled)",
    )
    .bind(customer.as_uuid())
    .bind(
        wanted
            .switches
            .iter()
            .map(|switch| switch.channel.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        wanted
            .switches
            .iter()
            .map(|switch| switch.kind.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        wanted
            .switches
            .iter()
            .map(|switch| switch.enabled)
            .collect::<Vec<_>>(),
    )
    .bind(now)
    .execute(conn)
    .await
    .op(OP)?;
    Ok(())
}

/// Switches one kind of message off and leaves everything else as it is.
pub(crate) async fn switch_off(
    conn: &mut PgConnection,
    customer: UserId,
    channel: Channel,
    kind: Kind,
    now: Timestamp,
) -> Result<(), StoreError> {
    const OP: &str = "contacts.switch_off";
    sqlx::query("INSERT INTO contacts (customer_id, updated_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(customer.as_uuid())
        .bind(now)
        .execute(&mut *conn)
        .await
        .op(OP)?;
    sqlx::query(
        "INSERT INTO preferences (customer_id, channel, kind, enabled, updated_at) VALUES ($1, $2, $3, false, $4)
         ON CONFLICT (customer_id, channel, kind) DO UPDATE SET enabled = false, updated_at = excluded.updated_at",
    )
    .bind(customer.as_uuid())
    .bind(channel.as_str())
    .bind(kind.as_str())
    .bind(now)
    .execute(conn)
    .await
    .op(OP)?;
    Ok(())
}
