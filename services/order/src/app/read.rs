use ferrocart_http_kit::{Caller, Page, Problem, Role, encode_cursor};
use ferrocart_types::{OrderId, SagaId, UserId};

use super::{App, access};
use crate::domain::{Order, Status};
use crate::error::ServiceError;
use crate::store::{orders, sagas};
use crate::views::SagaView;

impl App {
    /// Asks this service's own database and nothing else: an order can be read whatever else is down.
    pub(crate) async fn read_order(&self, caller: &Caller, id: OrderId) -> Result<Order, ServiceError> {
        let mut conn = self.inner.pool.acquire().await?;
        orders::read(&mut conn, id)
            .await?
            .filter(|order| access::may_see(caller, order))
            .ok_or(ServiceError::OrderNotFound(id))
    }

    /// The caller's own orders or, for support, a customer's.
    pub(crate) async fn list_orders(
        &self,
        caller: &Caller,
        customer: Option<UserId>,
        status: Option<Status>,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<(Vec<Order>, Option<String>), ServiceError> {
        let staff = caller
            .require_any(&[Role::Support, Role::Admin, Role::Service])
            .is_ok();
        let customer = match customer {
            Some(customer) if staff => customer,
            Some(customer) if caller.user()?.user_id != customer => {
                return Err(Problem::forbidden("your account may list its own orders only").into());
            }
            _ => caller.user()?.user_id,
        };
        let mut conn = self.inner.pool.acquire().await?;
        // One more than asked for tells whether there is a next page.
        let mut found = orders::of_customer(&mut conn, customer, status, after, i64::from(limit) + 1).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = (found.len() > limit).then(|| {
            found.truncate(limit);
            found.last().map(|last| encode_cursor(&last.id))
        });
        Ok((found, next.flatten()))
    }

    /// Unfinished sagas, for support.
    pub(crate) async fn list_sagas(
        &self,
        only_stuck: bool,
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Page<SagaView>, ServiceError> {
        let mut conn = self.inner.pool.acquire().await?;
        let mut items = sagas::list(&mut conn, only_stuck, after, i64::from(limit) + 1).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = (items.len() > limit).then(|| {
            items.truncate(limit);
            items.last().map(|last| encode_cursor(&last.saga_id))
        });
        Ok(Page {
            items,
            next_cursor: next.flatten(),
        })
    }
}
