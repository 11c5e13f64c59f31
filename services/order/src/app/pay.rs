use ferrocart_http_kit::Caller;
use ferrocart_pg_kit::run_tx;
use ferrocart_types::OrderId;
use sqlx::PgConnection;

use super::{App, Changed, access};
use crate::domain::Status;
use crate::domain::saga::Kind;
use crate::error::ServiceError;
use crate::store::{orders, sagas};

impl App {
    /// Says what an order is paid with that was placed without a payment method, and waits for what becomes
    /// of it as long as there is time. The same method again changes nothing.
    pub(crate) async fn pay(
        &self,
        caller: &Caller,
        id: OrderId,
        method: String,
    ) -> Result<Changed, ServiceError> {
        let deadline = self.deadline();
        run_tx(&self.inner.pool, "order.pay", |conn| {
            let (app, caller, method) = (self.clone(), caller.clone(), method.clone());
            Box::pin(async move { app.pay_in(conn, &caller, id, &method).await })
        })
        .await?;
        self.inner.driver.wake_worker();
        let idle = self.wait_until_idle(id, deadline).await?;
        let order = self.read_order(caller, id).await?;
        Ok(if idle {
            Changed::Done(order)
        } else {
            Changed::Accepted(order)
        })
    }

    async fn pay_in(
        &self,
        conn: &mut PgConnection,
        caller: &Caller,
        id: OrderId,
        method: &str,
    ) -> Result<(), ServiceError> {
        let unfinished = sagas::lock_unfinished(conn, id).await?;
        let order = orders::lock(conn, id)
            .await?
            .filter(|order| access::owns(caller, order))
            .ok_or(ServiceError::OrderNotFound(id))?;
        let waits = matches!(order.status(), Status::Placed | Status::PaymentPending);
        match unfinished {
            Some((saga, Kind::Checkout)) if waits => {
                let now = self.inner.clock.now();
                if sagas::pay_with(conn, saga, method, now).await? {
                    Ok(())
                } else {
                    Err(ServiceError::PaymentUnderWay)
                }
            }
            _ => Err(ServiceError::NotToBePaid(order.status())),
        }
    }
}
