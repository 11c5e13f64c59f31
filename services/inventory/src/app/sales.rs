use ferrocart_pg_kit::idempotency::{self, RequestKey, StoredResponse};
use ferrocart_pg_kit::{StoreError, run_tx};
use ferrocart_types::{SkuId, Timestamp};
use sqlx::{PgConnection, PgPool};

use crate::app::book::Book;
use crate::app::meter::SaleMeter;
use crate::app::once::{Answered, claim};
use crate::app::waitlist::ended;
use crate::batcher::Tools;
use crate::domain::{Sale, SaleCommand, SaleId, SaleState, Ticket, TicketState};
use crate::error::ServiceError;
use crate::store::{self, Changes};

/// The most sales that one look at the clock starts and stops.
const DUE_MAX: i64 = 100;

/// Flash sales: made, preloaded, started and stopped, by people and by the clock.
#[derive(Clone)]
pub(crate) struct SaleDesk {
    pub(crate) pool: PgPool,
    pub(crate) tools: Tools,
    pub(crate) meter: SaleMeter,
}

/// How a sale is answered.
pub(crate) type RespondSale = fn(&Sale) -> StoredResponse;

impl SaleDesk {
    pub(crate) async fn create(
        &self,
        sale: Sale,
        key: Option<RequestKey>,
        respond: RespondSale,
    ) -> Result<Answered, ServiceError> {
        run_tx(&self.pool, "sale.create", |conn| {
            let (sale, key, now) = (sale.clone(), key.clone(), self.tools.clock.now());
            Box::pin(async move {
                if let Some(key) = &key
                    && let Some(before) = claim(conn, key, sale.sale.0, now).await?
                {
                    return Ok(Answered::Replayed(before));
                }
                let stock = store::read_stock(conn, &[sale.sku]).await?;
                if stock.get(&sale.sku).is_none_or(|counters| counters.discontinued) {
                    return Err(ServiceError::ProductNotFound(vec![sale.sku]));
                }
                if !store::insert_sale(conn, &sale).await? {
                    return Err(ServiceError::SaleExists);
                }
                let response = respond(&sale);
                if let Some(key) = &key {
                    idempotency::complete(conn, key, &response).await?;
                }
                Ok(Answered::Fresh(response))
            })
        })
        .await
    }

    pub(crate) async fn find(&self, sale: SaleId) -> Result<Sale, ServiceError> {
        let mut conn = self.pool.acquire().await?;
        let found = store::find_sale(&mut conn, sale).await?;
        found.ok_or(ServiceError::SaleNotFound)
    }

    /// Preloads, starts or stops the sale. The stock's row learns of it in the same transaction, so that no
    /// batch is decided by what was.
    pub(crate) async fn command(&self, sale: SaleId, command: SaleCommand) -> Result<Sale, ServiceError> {
        let sku = self.find(sale).await?.sku;
        let (sale, changes, ended) = run_tx(&self.pool, "sale.command", |conn| {
            let desk = self.clone();
            Box::pin(async move { desk.command_in(conn, sale, sku, command).await })
        })
        .await?;
        self.tools.relay.poke();
        self.tools.admission.committed(&changes);
        self.tools.waiters.tell(&ended);
        if sale.terms(sale.state).is_some() {
            self.meter.learn(&[(sale.sku, sale.sale)]);
        }
        self.follow(&sale, command).await;
        Ok(sale)
    }

    /// The counter in Redis comes with the preload and goes with the end. Without it the database decides alone,
    /// so that a failure here costs speed and nothing else.
    async fn follow(&self, sale: &Sale, command: SaleCommand) {
        let admission = &self.tools.admission;
        let outcome = match command {
            SaleCommand::Preload | SaleCommand::Start => {
                admission.load(sale.sku, sale.shards).await.map(|_| ())
            }
            SaleCommand::Stop => admission.unload(sale.sku).await,
        };
        if let Err(error) = outcome {
            tracing::warn!(sku.id = %sale.sku, %error, "the counter of a flash sale is not as it should be");
        }
    }

    async fn command_in(
        &self,
        conn: &mut PgConnection,
        sale: SaleId,
        sku: SkuId,
        command: SaleCommand,
    ) -> Result<(Sale, Changes, Vec<Ticket>), ServiceError> {
        let now = self.tools.clock.now();
        let stock = store::lock_stock(conn, &[sku]).await?;
        let mut sale = store::lock_sale(conn, sale)
            .await?
            .ok_or(ServiceError::SaleNotFound)?;
        let after = sale.state.step(command)?;
        if after == sale.state {
            return Ok((sale, Changes::default(), Vec::new()));
        }
        let discontinued = stock.get(&sku).is_none_or(|counters| counters.discontinued);
        if discontinued && after != SaleState::Ended {
            return Err(ServiceError::ProductNotFound(vec![sku]));
        }
        let mut book = Book::open(&self.tools.ids, now, self.tools.stock_low_threshold, &stock);
        let mut over = Vec::new();
        if after == SaleState::Ended && sale.state == SaleState::Live {
            let waiting = store::tickets_of_sale(conn, sku).await?;
            store::end_tickets(conn, &waiting, TicketState::SaleEnded, now).await?;
            book.wait(sku, -waiting.iter().map(Ticket::units).sum::<i64>());
            over = ended(&waiting, TicketState::SaleEnded);
        }
        book.put_under(sku, sale.terms(after));
        let (changes, _) = book.close();
        store::apply(conn, &changes, now).await?;
        store::write_sale_state(conn, sale.sale, after, now).await?;
        sale.state = after;
        Ok((sale, changes, over))
    }

    /// Starts and stops what is to start and stop by now.
    pub(crate) async fn keep_times(&self) -> Result<(), ServiceError> {
        let now: Timestamp = self.tools.clock.now();
        let due = {
            let mut conn = self.pool.acquire().await?;
            store::due_sales(&mut conn, now, DUE_MAX).await?
        };
        for sale in due {
            let over = sale.ends_at.is_some_and(|at| at <= now);
            let commands: &[SaleCommand] = match sale.state {
                _ if over => &[SaleCommand::Stop],
                SaleState::Draft => &[SaleCommand::Preload, SaleCommand::Start],
                SaleState::Preloaded => &[SaleCommand::Start],
                SaleState::Live | SaleState::Ended => &[],
            };
            for command in commands {
                match self.command(sale.sale, *command).await {
                    Ok(_) => {}
                    // Another replica, or a person, was there first.
                    Err(ServiceError::SaleState(error)) => tracing::debug!(%error, "a sale moved by itself"),
                    Err(error) => {
                        tracing::warn!(sale.id = %sale.sale.0, %error, "a sale could not be moved in time");
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// The newest first, and whether there are more.
    pub(crate) async fn list(
        &self,
        before: Option<SaleId>,
        viewer: &str,
        all: bool,
        limit: i64,
    ) -> Result<Vec<Sale>, StoreError> {
        let mut conn = self.pool.acquire().await?;
        store::list_sales(&mut conn, before, viewer, all, limit).await
    }
}
