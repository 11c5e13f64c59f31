//! A second look at a suspicion, and what the stores tell of its subject.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use ferrocart_types::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use crate::check::Moment;
use crate::finding::Subject;
use crate::read::postgres::connect;
use crate::target::Target;

/// Lines of one part of a history.
const LINES_MAX: i64 = 50;

/// Reads the stores as they are now, not as they were when the audit began. Connects when it is first
/// needed.
pub(crate) struct Investigator<'t> {
    target: &'t Target,
    connections: BTreeMap<&'static str, PgConnection>,
}

/// A query of a change's time, then one of lines, each by the subject's id.
type Part = (&'static str, &'static str, &'static str);

const OF_ORDER: [Part; 3] = [
    (
        "orders",
        "SELECT max(updated_at) FROM orders WHERE order_id = $1",
        "SELECT line FROM (
             SELECT at, 'order ' || sequence || ' ' || status || coalesce(' (' || reason || ')', '') || ' at ' || at AS line
             FROM order_history WHERE order_id = $1
             UNION ALL
             SELECT l.at, 'saga ' || s.kind || ': ' || l.step || ' ' || l.event || ', attempt ' || l.attempt
                    || coalesce(' (' || l.detail || ')', '') || ' at ' || l.at
             FROM sagas s JOIN saga_log l USING (saga_id) WHERE s.order_id = $1
             UNION ALL
             SELECT updated_at, 'saga ' || kind || ' is ' || state || ' at ' || step || coalesce(': ' || last_error, '')
             FROM sagas WHERE order_id = $1
         ) t ORDER BY at DESC, line DESC LIMIT $2",
    ),
    (
        "inventory",
        "SELECT max(updated_at) FROM reservations WHERE order_id = $1",
        "SELECT 'reservation ' || status || coalesce(' (' || release_reason || ')', '') || ', expires at ' || expires_at
                || ', changed at ' || updated_at || ': ' || quantities::text || ' of ' || sku_ids::text
         FROM reservations WHERE order_id = $1 LIMIT $2",
    ),
    (
        "payments",
        "SELECT max(updated_at) FROM payments WHERE order_id = $1",
        "SELECT line FROM (
             SELECT p.created_at AS at, 'payment ' || payment_id || ' ' || status || ', ' || coalesce(provider_intent, 'no intent')
                    || ', ' || amount_minor || ' asked, ' || authorized_minor || ' authorized, ' || captured_minor
                    || ' captured, ' || refunded_minor || ' refunded' || coalesce(' (' || reason || ')', '')
                    || ', changed at ' || updated_at AS line
             FROM payments p WHERE order_id = $1
             UNION ALL
             SELECT o.created_at, 'payment operation ' || kind || ' ' || state || ', attempt ' || attempt || ', key ' || provider_key
                    || coalesce(' (' || note || ')', '') || ' at ' || o.created_at
             FROM payment_operations o JOIN payments p USING (payment_id) WHERE p.order_id = $1
             UNION ALL
             SELECT created_at, 'never to be paid (' || reason || '), since ' || created_at
             FROM order_slots WHERE order_id = $1 AND payment_id IS NULL
         ) t ORDER BY at DESC, line DESC LIMIT $2",
    ),
];

const OF_SKU: [Part; 1] = [(
    "inventory",
    "SELECT max(updated_at) FROM stock WHERE sku_id = $1",
    "SELECT 'ledger ' || version || ' ' || kind || ' ' || on_hand_delta || ' on hand, ' || reserved_delta || ' reserved by '
            || actor || coalesce(' for order ' || order_id, '') || ' at ' || at
     FROM stock_ledger WHERE sku_id = $1 ORDER BY version DESC LIMIT $2",
)];

const OF_PRODUCT: [Part; 1] = [(
    "catalog",
    "SELECT max(updated_at) FROM products WHERE product_id = $1",
    "SELECT 'product ' || handle || ' version ' || version || ' ' || status || ', changed at ' || updated_at
     FROM products WHERE product_id = $1 LIMIT $2",
)];

impl<'t> Investigator<'t> {
    pub(crate) fn new(target: &'t Target) -> Self {
        Self {
            target,
            connections: BTreeMap::new(),
        }
    }

    /// Whether the subject has changed since the stores were looked at, or a moment before.
    pub(crate) async fn has_moved(&mut self, subject: &Subject, moment: &Moment) -> Result<bool> {
        let (id, parts) = parts(subject);
        for (database, changed, _) in parts {
            let connection = self.connection(database).await?;
            let at: Option<Timestamp> = sqlx::query_scalar(*changed)
                .bind(id)
                .fetch_one(connection)
                .await
                .with_context(|| format!("look again at {subject} in {database}"))?;
            if at.is_some_and(|at| moment.may_be_unseen(at)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest lines of each store, in the order of time.
    pub(crate) async fn history(&mut self, subject: &Subject) -> Result<Vec<String>> {
        let (id, parts) = parts(subject);
        let mut history = Vec::new();
        for (database, _, lines) in parts {
            let connection = self.connection(database).await?;
            let rows = sqlx::query(*lines)
                .bind(id)
                .bind(LINES_MAX)
                .fetch_all(connection)
                .await
                .with_context(|| format!("read the history of {subject} in {database}"))?;
            for row in rows.iter().rev() {
                history.push(row.try_get(0).context("a line of a history")?);
            }
        }
        Ok(history)
    }

    pub(crate) async fn close(self) -> Result<()> {
        for (database, connection) in self.connections {
            connection
                .close()
                .await
                .with_context(|| format!("close the connection to {database}"))?;
        }
        Ok(())
    }

    async fn connection(&mut self, database: &'static str) -> Result<&mut PgConnection> {
        if !self.connections.contains_key(database) {
            let url = match database {
                "orders" => &self.target.orders_url,
                "payments" => &self.target.payments_url,
                "catalog" => &self.target.catalog_url,
                _ => &self.target.inventory_url,
            };
            self.connections.insert(database, connect(url, database).await?);
        }
        self.connections.get_mut(database).context("connected just now")
    }
}

fn parts(subject: &Subject) -> (Uuid, &'static [Part]) {
    match subject {
        Subject::Order(id) => (*id, &OF_ORDER),
        Subject::Sku(id) => (*id, &OF_SKU),
        Subject::Product(id) => (*id, &OF_PRODUCT),
        Subject::Intent(_) | Subject::Outbox(_) | Subject::Topic(_) => (Uuid::nil(), &[]),
    }
}
