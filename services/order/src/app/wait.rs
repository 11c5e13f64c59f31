use ferrocart_pg_kit::StoreError;
use ferrocart_types::OrderId;
use tokio::time::Instant;

use super::App;
use crate::store::sagas;

impl App {
    /// Waits until nothing is under way for the order. `false` when the deadline has passed first.
    pub(super) async fn wait_until_idle(
        &self,
        order: OrderId,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        let idle = self
            .inner
            .driver
            .endings()
            .wait(order, deadline, || async {
                let mut conn = self.inner.pool.acquire().await?;
                let idle = !sagas::is_unfinished(&mut conn, order).await?;
                Ok::<_, StoreError>(idle.then_some(()))
            })
            .await?;
        Ok(idle.is_some())
    }
}
