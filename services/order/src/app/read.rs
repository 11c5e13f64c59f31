use ferrocart_http_kit::{Caller, Problem, Role, encode_cursor};
use ferrocart_pg_kit::StoreError;
use ferrocart_types::OrderId;

use super::{App, access};
use crate::domain::Order;
use crate::error::ServiceError;
use crate::store::orders::{self, Filter};

/// At least as many as the pool has.
const DEAD_CONNECTIONS_MAX: u32 = 32;

/// What an order's page shows.
#[derive(Debug)]
pub(crate) enum Shown {
    Now(Box<Order>),
    /// The database is away: what was known last, as the API shows it.
    LastKnown(Vec<u8>),
}

impl App {
    /// An order's page: from this service's own database or, while that is away, as it was last known. Nothing
    /// else is asked, so an order can be read whatever else is down.
    pub(crate) async fn show_order(&self, caller: &Caller, id: OrderId) -> Result<Shown, ServiceError> {
        let away = if self.inner.database.lets_pass() {
            let read = self.read_patiently(caller, id);
            let away = match tokio::time::timeout(self.inner.read_timeout, read).await {
                Ok(Err(ServiceError::Store(error))) if error.is_unavailable() => error,
                Ok(answer) => {
                    self.inner.database.succeeded();
                    return answer.map(|order| Shown::Now(Box::new(order)));
                }
                Err(_) => unavailable("no answer in time"),
            };
            self.inner.database.failed();
            away
        } else {
            unavailable("it failed a moment ago")
        };
        match self.inner.snapshots.find(id).await {
            Some(known) if access::may_see_of(caller, known.customer) => {
                metrics::counter!("orders_shown_last_known_total").increment(1);
                Ok(Shown::LastKnown(known.body))
            }
            Some(_) => Err(ServiceError::OrderNotFound(id)),
            None => Err(away.into()),
        }
    }

    /// After the database was away the pool is full of dead connections, each of which fails once.
    async fn read_patiently(&self, caller: &Caller, id: OrderId) -> Result<Order, ServiceError> {
        for _ in 0..DEAD_CONNECTIONS_MAX {
            match self.read_order(caller, id).await {
                Err(ServiceError::Store(error)) if error.is_unavailable() => {}
                answer => return answer,
            }
        }
        self.read_order(caller, id).await
    }

    /// An order, as it stands in the database.
    pub(crate) async fn read_order(&self, caller: &Caller, id: OrderId) -> Result<Order, ServiceError> {
        let mut conn = self.inner.pool.acquire().await?;
        let order = orders::read(&mut conn, id)
            .await?
            .filter(|order| access::may_see(caller, order))
            .ok_or(ServiceError::OrderNotFound(id))?;
        // Whoever looks at an order will look again.
        self.inner.snapshots.note(&order);
        Ok(order)
    }

    /// The caller's own orders or, for support, anybody's.
    pub(crate) async fn list_orders(
        &self,
        caller: &Caller,
        mut filter: Filter,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<(Vec<Order>, Option<String>), ServiceError> {
        let staff = caller
            .require_any(&[Role::Support, Role::Admin, Role::Service])
            .is_ok();
        if !staff {
            let own = caller.user()?.user_id;
            if filter.customer.is_some_and(|asked| asked != own) {
                return Err(Problem::forbidden("your account may list its own orders only").into());
            }
            filter.customer = Some(own);
        }
        if let (Some(from), Some(to)) = (filter.created_from, filter.created_to)
            && from >= to
        {
            return Err(Problem::invalid_field("created_to", "must be after created_from").into());
        }
        let mut conn = self.inner.pool.acquire().await?;
        // One more than asked for tells whether there is a next page.
        let mut found = orders::list(&mut conn, filter, after, i64::from(limit) + 1).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = (found.len() > limit).then(|| {
            found.truncate(limit);
            found.last().map(|last| encode_cursor(&last.id))
        });
        Ok((found, next.flatten()))
    }
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable {
        operation: "orders.read",
        reason: reason.to_owned(),
    }
}
