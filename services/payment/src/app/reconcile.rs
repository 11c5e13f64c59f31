//! Our books beside the provider's, a page at a time: what we have not heard of is taken over, the rest is
//! shown to people.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{PaymentId, Timestamp, UserId};
use uuid::Uuid;

use super::Payments;
use crate::domain::{Comparison, DifferenceKind, IntentId, Payment, Seen};
use crate::error::PaymentError;
use crate::provider::{Intent, ProviderError, Window};
use crate::store::payments::By;
use crate::store::reconciliation::{self as store, Difference, Found, Ours, Phase, Run};

const LEASE: Duration = Duration::from_mins(2);
const PAGE: i64 = 100;
const FORGET_MAX: i64 = 5_000;
/// What the provider answers for an intent that it does not know.
const UNKNOWN_INTENT: &str = "resource_missing";

/// How often, and how far back.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub every: Duration,
    pub window: TimeDelta,
    /// Between two pages: the provider has others to serve, and so have we.
    pub pause: Duration,
}

/// What came of looking at one intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    Same,
    InFlight,
    Differs,
    Repaired,
}

impl Payments {
    /// Begins a run over the window, at once.
    pub async fn ask_to_reconcile(&self, by: UserId, window: Window) -> Result<Run, PaymentError> {
        let run = self.new_run(Some(by), window);
        let mut conn = self.pool.acquire().await?;
        // Leased to nobody: the worker takes it over.
        if !store::begin(&mut conn, &run, run.started_at, None).await? {
            return Err(PaymentError::Reconciling);
        }
        self.to_reconcile.notify_one();
        Ok(run)
    }

    fn new_run(&self, asked_by: Option<UserId>, window: Window) -> Run {
        Run {
            id: self.ids.next(),
            asked_by,
            window_from: window.from,
            window_until: window.until,
            phase: Phase::Intents,
            cursor: None,
            checked: 0,
            differences: 0,
            repaired: 0,
            attempt: 1,
            started_at: self.clock.now(),
            finished_at: None,
        }
    }

    /// Drives what is to be driven: a run that was asked for or left alone, or a new one when it is time.
    pub async fn reconcile(self: &Arc<Self>, schedule: Schedule) -> Result<(), PaymentError> {
        let now = self.clock.now();
        let mut conn = self.pool.acquire().await?;
        let mut run = store::take_over(&mut conn, now, lease(now)).await?;
        if run.is_none() {
            let window = Window {
                from: now - schedule.window,
                until: now,
            };
            let fresh = self.new_run(None, window);
            let since = now - TimeDelta::from_std(schedule.every).unwrap_or(TimeDelta::MAX);
            let begun = store::begin(&mut conn, &fresh, lease(now), Some(since)).await?;
            run = begun.then_some(fresh);
        }
        drop(conn);
        let Some(mut run) = run else { return Ok(()) };
        while run.phase != Phase::Done {
            if !self.reconcile_page(&mut run).await? {
                tracing::info!(run.id = %run.id, "a reconciliation went on in other hands");
                return Ok(());
            }
            tokio::time::sleep(schedule.pause).await;
        }
        tracing::info!(
            run.id = %run.id, checked = run.checked, differences = run.differences, repaired = run.repaired,
            "reconciled with the provider"
        );
        Ok(())
    }

    /// One page of the run. `false` when somebody else drives it.
    pub async fn reconcile_page(self: &Arc<Self>, run: &mut Run) -> Result<bool, PaymentError> {
        let cursor = run.cursor.take();
        run.cursor = match run.phase {
            Phase::Intents => self.page_of_intents(run, cursor.as_deref()).await?,
            Phase::Refunds => self.page_of_refunds(run, cursor.as_deref()).await?,
            Phase::Ours => self.page_of_ours(run, cursor.as_deref()).await?,
            Phase::Open => self.page_of_open(run, cursor.as_deref()).await?,
            Phase::Done => None,
        };
        let now = self.clock.now();
        if run.cursor.is_none() {
            run.phase = run.phase.next();
            run.finished_at = (run.phase == Phase::Done).then_some(now);
        }
        let mut conn = self.pool.acquire().await?;
        let advanced = store::advance(&mut conn, run, lease(now)).await?;
        if run.phase == Phase::Done {
            while store::forget_seen(&mut conn, FORGET_MAX).await? > 0 {}
            self.measure_differences(&mut conn).await?;
        }
        Ok(advanced)
    }

    async fn page_of_intents(
        self: &Arc<Self>,
        run: &mut Run,
        cursor: Option<&str>,
    ) -> Result<Option<String>, PaymentError> {
        let listing = self.provider.intents(window_of(run), cursor).await?;
        let ids: Vec<PaymentId> = listing
            .items
            .iter()
            .filter_map(|intent| intent.payment_id)
            .collect();
        let mut conn = self.pool.acquire().await?;
        let known = store::ours(&mut conn, &ids).await?;
        drop(conn);
        for intent in &listing.items {
            let ours = known
                .iter()
                .find(|ours| intent.payment_id == Some(ours.payment.id));
            // Ours was read after theirs: only what agrees is settled by that.
            let same = ours.is_some_and(|ours| self.compare(ours, intent) == Comparison::Same);
            let looked = if same {
                Looked::Same
            } else {
                self.look_closer(run, intent.payment_id, &intent.id).await?
            };
            run.count(looked);
        }
        let mut conn = self.pool.acquire().await?;
        store::mark_seen(&mut conn, run.id, &with_their_intent(&known, &listing.items)).await?;
        Ok(listing.next)
    }

    async fn page_of_refunds(
        self: &Arc<Self>,
        run: &mut Run,
        cursor: Option<&str>,
    ) -> Result<Option<String>, PaymentError> {
        let listing = self.provider.refunds(window_of(run), cursor).await?;
        let (intents, operations): (Vec<String>, Vec<Option<Uuid>>) = listing
            .items
            .into_iter()
            // A refund that failed is strange, whoever made it.
            .map(|refund| (refund.intent.0, refund.operation_id.filter(|_| refund.stands)))
            .unzip();
        let mut conn = self.pool.acquire().await?;
        let strange = store::with_strange_refunds(&mut conn, &intents, &operations).await?;
        drop(conn);
        self.look_at(run, &strange).await?;
        Ok(listing.next)
    }

    async fn page_of_ours(
        self: &Arc<Self>,
        run: &mut Run,
        cursor: Option<&str>,
    ) -> Result<Option<String>, PaymentError> {
        let after = cursor.map_or_else(|| first_id(run.window_from), parse_cursor);
        let until = first_id(run.window_until + TimeDelta::milliseconds(1));
        let mut conn = self.pool.acquire().await?;
        let unseen = store::unseen(&mut conn, run.id, after, until, PAGE).await?;
        drop(conn);
        self.look_at(run, &unseen).await?;
        Ok(unseen.last().map(ToString::to_string))
    }

    /// Differences that earlier runs have left: still there, or gone.
    async fn page_of_open(
        self: &Arc<Self>,
        run: &mut Run,
        cursor: Option<&str>,
    ) -> Result<Option<String>, PaymentError> {
        let after = cursor.map_or(Uuid::nil(), parse_cursor);
        let mut conn = self.pool.acquire().await?;
        let open = store::open_before(&mut conn, run, after, PAGE).await?;
        drop(conn);
        for difference in &open {
            let looked = self
                .look_closer(run, difference.payment_id.map(PaymentId), &difference.intent)
                .await?;
            if matches!(looked, Looked::Same | Looked::Repaired) {
                let mut conn = self.pool.acquire().await?;
                store::gone(&mut conn, difference.id, self.clock.now()).await?;
            }
            run.count(looked);
        }
        Ok(open.last().map(|difference| difference.id.to_string()))
    }

    async fn look_at(self: &Arc<Self>, run: &mut Run, ids: &[PaymentId]) -> Result<(), PaymentError> {
        for id in ids {
            let payment = self.find(By::Id(*id)).await?.ok_or(PaymentError::NotFound)?;
            if let Some(intent) = &payment.intent {
                let looked = self.look_closer(run, Some(*id), intent).await?;
                run.count(looked);
            }
        }
        Ok(())
    }

    fn compare(&self, ours: &Ours, intent: &Intent) -> Comparison {
        ours.payment.compare(
            ours.books,
            &intent.id,
            intent.amount,
            &intent.seen,
            self.clock.now(),
        )
    }

    /// Reads first ours and then theirs, so that theirs is the newer one, and does what is to be done.
    async fn look_closer(
        self: &Arc<Self>,
        run: &Run,
        payment: Option<PaymentId>,
        intent: &IntentId,
    ) -> Result<Looked, PaymentError> {
        let mut conn = self.pool.acquire().await?;
        let ids: Vec<PaymentId> = payment.into_iter().collect();
        let ours = store::ours(&mut conn, &ids).await?.pop();
        drop(conn);
        if ours.as_ref().is_some_and(|ours| ours.in_flight) {
            return Ok(Looked::InFlight);
        }
        let theirs = match self.provider.intent(intent).await {
            Ok(theirs) => Some(theirs),
            Err(ProviderError::Refused { code }) if code == UNKNOWN_INTENT => None,
            Err(error) => return Err(error.into()),
        };
        let comparison = match (&ours, &theirs) {
            (Some(ours), Some(theirs)) => self.compare(ours, theirs),
            (Some(_), None) => Comparison::Differs(DifferenceKind::MissingAtProvider),
            (None, None) => Comparison::Same,
            // One that is over without money was never ours to lose.
            (None, Some(theirs)) if matches!(theirs.seen, Seen::Cancelled { .. }) => Comparison::Same,
            (None, Some(_)) => Comparison::Differs(DifferenceKind::MissingHere),
        };
        let found = |kind, repaired| Found {
            id: self.ids.next(),
            intent: intent.clone(),
            kind,
            payment: ours.as_ref().map(|ours| ours.payment.clone()),
            ours: ours
                .as_ref()
                .map_or_else(|| "-".to_owned(), |ours| standing(&ours.payment)),
            theirs: theirs.as_ref().map_or_else(|| "-".to_owned(), seen_standing),
            repaired,
        };
        match (comparison, &ours, &theirs) {
            (Comparison::Same, _, _) => Ok(Looked::Same),
            (Comparison::Behind(kind), Some(ours), Some(theirs)) => {
                self.take_from_provider(run, ours.payment.id, theirs, found(kind, true))
                    .await
            }
            (Comparison::Behind(kind) | Comparison::Differs(kind), _, _) => {
                let found = found(kind, false);
                self.show(run, &found).await?;
                Ok(Looked::Differs)
            }
        }
    }

    /// A webhook that never came: what it would have told is applied, and kept as repaired.
    async fn take_from_provider(
        self: &Arc<Self>,
        run: &Run,
        id: PaymentId,
        theirs: &Intent,
        found: Found,
    ) -> Result<Looked, PaymentError> {
        let applied = run_tx(&self.pool, "reconciliation_repair", |conn| {
            let (this, theirs, found, run) = (Arc::clone(self), theirs.clone(), found.clone(), run.id);
            Box::pin(async move {
                this.apply_news(conn, id, &theirs).await?;
                store::keep(conn, run, &found, this.clock.now()).await?;
                Ok::<_, PaymentError>(())
            })
        })
        .await;
        match applied {
            Ok(()) => {
                tracing::warn!(payment.id = %id, ours = found.ours, theirs = found.theirs, "taken over from the provider");
                metrics::counter!("reconciliation_repaired_total", "kind" => found.kind.as_str())
                    .increment(1);
                self.relay.poke();
                Ok(Looked::Repaired)
            }
            Err(PaymentError::Diverged(_)) => {
                let found = Found {
                    repaired: false,
                    ..found
                };
                self.show(run, &found).await?;
                Ok(Looked::Differs)
            }
            Err(error) => Err(error),
        }
    }

    async fn show(&self, run: &Run, found: &Found) -> Result<(), PaymentError> {
        tracing::error!(
            psp.intent = %found.intent, kind = found.kind.as_str(), ours = found.ours, theirs = found.theirs,
            "our books and the provider's differ"
        );
        let mut conn = self.pool.acquire().await?;
        store::keep(&mut conn, run.id, found, self.clock.now()).await?;
        Ok(())
    }

    async fn measure_differences(&self, conn: &mut sqlx::PgConnection) -> Result<(), PaymentError> {
        let counts = store::open_counts(conn).await?;
        for kind in DifferenceKind::ALL.map(DifferenceKind::as_str) {
            let open = counts
                .iter()
                .find(|(of, _)| of == kind)
                .map_or(0, |(_, open)| *open);
            let open = f64::from(i32::try_from(open).unwrap_or(i32::MAX));
            metrics::gauge!("reconciliation_differences_open", "kind" => kind).set(open);
        }
        metrics::counter!("reconciliation_runs_total").increment(1);
        Ok(())
    }

    /// The newest run, and differences, the newest first.
    pub async fn reconciliation(
        &self,
        only_open: bool,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<(Option<Run>, Vec<Difference>), PaymentError> {
        let mut conn = self.pool.acquire().await?;
        let run = store::latest(&mut conn).await?;
        let differences = store::list(&mut conn, only_open, after, limit).await?;
        Ok((run, differences))
    }
}

impl Run {
    fn count(&mut self, looked: Looked) {
        self.checked += 1;
        self.differences += i64::from(looked == Looked::Differs);
        self.repaired += i64::from(looked == Looked::Repaired);
        metrics::counter!("reconciliation_checked_total").increment(1);
    }
}

fn lease(now: Timestamp) -> Timestamp {
    now + LEASE
}

fn window_of(run: &Run) -> Window {
    Window {
        from: run.window_from,
        until: run.window_until,
    }
}

/// Payments of which the provider has the very intent that we know.
fn with_their_intent(known: &[Ours], intents: &[Intent]) -> Vec<PaymentId> {
    let met = known.iter().map(|ours| &ours.payment).filter(|payment| {
        intents
            .iter()
            .any(|intent| payment.intent.as_ref() == Some(&intent.id))
    });
    met.map(|payment| payment.id).collect()
}

/// Ids are made in order of time: this one is before all that are made at or after `at`.
fn first_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(u128::from(millis) << 80)
}

/// A cursor is written by this service alone; one that is none begins anew.
fn parse_cursor(cursor: &str) -> Uuid {
    cursor.parse().unwrap_or_default()
}

fn standing(payment: &Payment) -> String {
    let (captured, refunded) = (payment.state.captured_minor(), payment.state.refunded_minor());
    format!(
        "{} over {}, captured {captured}, refunded {refunded}",
        payment.status(),
        payment.terms.amount
    )
}

fn seen_standing(intent: &Intent) -> String {
    let state = match &intent.seen {
        Seen::Undecided => "undecided".to_owned(),
        Seen::RequiresAction { .. } => "requires action".to_owned(),
        Seen::Authorized { .. } => "authorized".to_owned(),
        Seen::Declined { code } | Seen::Refused { code } => format!("declined ({code})"),
        Seen::Cancelled { reason } => format!("cancelled ({reason})"),
        Seen::Captured {
            captured_minor,
            refunded_minor,
        } => format!("captured {captured_minor}, refunded {refunded_minor}"),
    };
    format!("{state} over {}", intent.amount)
}
