//! The audit from one end to the other.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::TimeDelta;
use ferrocart_contracts::{Envelope, Topic};
use ferrocart_types::Clock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::check::order::Case;
use crate::check::trail::{Trail, Versions};
use crate::check::{Moment, Verdict, order, product, sku};
use crate::finding::{Finding, Promise, Subject, Violation, Watcher};
use crate::investigate::Investigator;
use crate::read::cursor::{Cursor, Groups};
use crate::read::postgres::{self, snapshot};
use crate::read::provider;
use crate::read::rows::{Intent, Published, Step};
use crate::read::topics::{self, Events};
use crate::target::Target;

/// Intents of one order that are looked at; a sound one has very few.
const INTENTS_MAX: usize = 100;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long something may be unfinished; what changed within it is not compared across stores.
    pub grace: Duration,
    /// How long a customer may take to act on a payment, such as 3-D Secure.
    pub action_max: Duration,
    /// Findings that are kept with their history; the others are counted.
    pub findings_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            action_max: Duration::from_mins(10),
            findings_max: 100,
        }
    }
}

/// What the audit came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How many of what were checked.
    pub checked: Vec<(&'static str, u64)>,
    /// How many violations there are, of each kind.
    pub violations: BTreeMap<(Promise, &'static str), u64>,
    /// The first ones, with their histories.
    pub findings: Vec<Finding>,
    /// Orders, SKUs and products that changed too recently to be compared across stores.
    pub too_recent: u64,
}

impl Report {
    pub fn violations_total(&self) -> u64 {
        self.violations.values().sum()
    }

    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Audits everything. An error means that it could not be audited, not that a promise was broken.
pub async fn audit(
    target: &Target,
    options: &Options,
    clock: &dyn Clock,
    watcher: &mut dyn Watcher,
) -> Result<Report> {
    // Read before the stores are: whatever they do not show yet is newer than this.
    let moment = Moment {
        now: clock.now(),
        grace: TimeDelta::from_std(options.grace).context("the grace")?,
        action_max: TimeDelta::from_std(options.action_max).context("the time to act")?,
    };
    watcher.begin("stores as of now");
    let mut stores = Stores {
        inventory: snapshot(&target.inventory_url, "inventory").await?,
        orders: snapshot(&target.orders_url, "orders").await?,
        payments: snapshot(&target.payments_url, "payments").await?,
        catalog: snapshot(&target.catalog_url, "catalog").await?,
    };
    watcher.end("stores as of now", 4, 0);
    let mut audit = Audit {
        target,
        moment,
        findings_max: options.findings_max,
        watcher,
        report: Report::default(),
        investigator: Investigator::new(target),
    };
    audit.outboxes(&mut stores).await?;
    // What is published after the stores were looked at is read as well; what it tells of has moved.
    let events = audit.events(Topic::Inventory, topics::stock_version).await?;
    audit.skus(&mut stores.inventory, events).await?;
    let events = audit.events(Topic::Catalog, topics::product_version).await?;
    audit.products(&mut stores.catalog, events).await?;
    let order_events = audit.events(Topic::Order, topics::order_step).await?;
    let payment_events = audit.events(Topic::Payment, topics::payment_step).await?;
    let intents = audit.provider().await?;
    audit
        .orders(&mut stores, order_events, payment_events, intents)
        .await?;
    audit.investigator.close().await?;
    Ok(audit.report)
}

struct Stores {
    inventory: PgConnection,
    orders: PgConnection,
    payments: PgConnection,
    catalog: PgConnection,
}

struct Audit<'a> {
    target: &'a Target,
    moment: Moment,
    findings_max: usize,
    watcher: &'a mut dyn Watcher,
    report: Report,
    investigator: Investigator<'a>,
}

impl Audit<'_> {
    fn begin(&mut self, what: &str) -> u64 {
        self.watcher.begin(what);
        self.report.violations_total()
    }

    fn end(&mut self, what: &'static str, done: u64, violations_before: u64) {
        let violations = self.report.violations_total() - violations_before;
        self.watcher.end(what, done, violations);
        self.report.checked.push((what, done));
    }

    /// I4: what is committed is published.
    async fn outboxes(&mut self, stores: &mut Stores) -> Result<()> {
        const WHAT: &str = "I4 outboxes";
        let before = self.begin(WHAT);
        let committed_before = self.moment.now - self.moment.grace;
        let databases: [(&'static str, &mut PgConnection); 4] = [
            ("catalog", &mut stores.catalog),
            ("inventory", &mut stores.inventory),
            ("orders", &mut stores.orders),
            ("payments", &mut stores.payments),
        ];
        for (database, connection) in databases {
            let (waiting, first) = postgres::outbox(connection, committed_before).await?;
            if waiting > 0 {
                let mut verdict = Verdict::on(Subject::Outbox(database));
                let detail = format!("{waiting} events wait to be published: {}", first.join("; "));
                verdict.add(Promise::Events, "NOT_PUBLISHED", detail);
                self.accept(verdict, &[]).await?;
            }
        }
        self.end(WHAT, 4, before);
        Ok(())
    }

    async fn events<T>(
        &mut self,
        topic: Topic,
        keep: impl Fn(&Envelope, i32) -> Result<T>,
    ) -> Result<Groups<T>>
    where
        T: Serialize + DeserializeOwned,
    {
        let what = topic.name();
        let before = self.begin(what);
        let watcher = &mut *self.watcher;
        // The runtime's other threads go on meanwhile; there is nothing else to do in this one.
        let events: Events<T> = tokio::task::block_in_place(|| {
            topics::read(&self.target.kafka, topic, keep, |done| watcher.progress(done))
        })
        .with_context(|| format!("read the topic {topic}"))?;
        for unreadable in events.unreadable {
            let mut verdict = Verdict::on(Subject::Topic(what));
            verdict.add(Promise::Events, "UNREADABLE_EVENT", unreadable);
            self.accept(verdict, &[]).await?;
        }
        self.end(what, events.by_key.len(), before);
        Groups::open(events.by_key)
    }

    async fn provider(&mut self) -> Result<Groups<Intent>> {
        const WHAT: &str = "payment intents";
        let before = self.begin(WHAT);
        let watcher = &mut *self.watcher;
        let ledger = provider::read(&self.target.provider, |done| watcher.progress(done)).await?;
        for intent in ledger.of_nobody {
            let mut verdict = Verdict::on(Subject::Intent(intent));
            let detail = "it holds or took money and names no order";
            verdict.add(Promise::ChargeAndOrder, "INTENT_OF_NO_ORDER", detail);
            self.accept(verdict, &[]).await?;
        }
        self.end(WHAT, ledger.of_orders.len(), before);
        Groups::open(ledger.of_orders)
    }

    /// I1, and I4 of SKUs.
    async fn skus(&mut self, inventory: &mut PgConnection, mut events: Groups<Published>) -> Result<()> {
        const WHAT: &str = "I1 I4 SKUs";
        let before = self.begin(WHAT);
        let mut rows = Cursor::open("stock", postgres::skus(inventory)).await?;
        let mut done = 0;
        while let Some(id) = least([rows.key(), events.key()]) {
            let row = rows.take(id).await?;
            let events = versions(&mut events, id)?;
            let verdict = sku::judge(id, row.as_ref(), events.as_ref(), &self.moment);
            self.accept(verdict, &[]).await?;
            done += 1;
            self.watcher.progress(done);
        }
        self.end(WHAT, done, before);
        Ok(())
    }

    /// I4 of products.
    async fn products(&mut self, catalog: &mut PgConnection, mut events: Groups<Published>) -> Result<()> {
        const WHAT: &str = "I4 products";
        let before = self.begin(WHAT);
        let mut rows = Cursor::open("products", postgres::products(catalog)).await?;
        let mut done = 0;
        while let Some(id) = least([rows.key(), events.key()]) {
            let row = rows.take(id).await?;
            let events = versions(&mut events, id)?;
            let verdict = product::judge(id, row.as_ref(), events.as_ref(), &self.moment);
            self.accept(verdict, &[]).await?;
            done += 1;
            self.watcher.progress(done);
        }
        self.end(WHAT, done, before);
        Ok(())
    }

    /// I2, I3, I4 and I6 of orders.
    async fn orders(
        &mut self,
        stores: &mut Stores,
        mut order_events: Groups<Step>,
        mut payment_events: Groups<Step>,
        mut intents: Groups<Intent>,
    ) -> Result<()> {
        const WHAT: &str = "I1 I2 I3 I4 I6 orders";
        let before = self.begin(WHAT);
        let mut orders = Cursor::open("orders", postgres::orders(&mut stores.orders)).await?;
        let mut payments = Cursor::open("payments", postgres::payments(&mut stores.payments)).await?;
        let mut reservations =
            Cursor::open("reservations", postgres::reservations(&mut stores.inventory)).await?;
        let mut done = 0;
        while let Some(id) = least([
            orders.key(),
            payments.key(),
            reservations.key(),
            order_events.key(),
            payment_events.key(),
            intents.key(),
        ]) {
            let mut case = Case {
                order: orders.take(id).await?,
                payment: payments.take(id).await?,
                reservation: reservations.take(id).await?,
                order_events: trail(&mut order_events, id)?,
                payment_events: trail(&mut payment_events, id)?,
                intents: Vec::new(),
            };
            while let Some(intent) = intents.take(id)? {
                if case.intents.len() < INTENTS_MAX {
                    case.intents.push(intent);
                }
            }
            let verdict = order::judge(id, &case, &self.moment);
            self.accept(verdict, &case.intents).await?;
            done += 1;
            self.watcher.progress(done);
        }
        self.end(WHAT, done, before);
        Ok(())
    }

    /// Looks again at what was found, and keeps what stands.
    async fn accept(&mut self, verdict: Verdict, intents: &[Intent]) -> Result<()> {
        self.report.too_recent += u64::from(verdict.too_recent);
        let Some(first) = verdict.violations.first() else {
            return Ok(());
        };
        let subject = first.subject.clone();
        let mut standing = verdict.violations;
        if standing.iter().any(is_across_stores)
            && self.investigator.has_moved(&subject, &self.moment).await?
        {
            self.report.too_recent += u64::from(!verdict.too_recent);
            standing.retain(|violation| !is_across_stores(violation));
        }
        // With the first of the subject's findings alone.
        let mut told = false;
        for violation in standing {
            *self
                .report
                .violations
                .entry((violation.promise, violation.kind))
                .or_default() += 1;
            if self.report.findings.len() >= self.findings_max {
                continue;
            }
            let mut history = Vec::new();
            if !told {
                told = true;
                history = self.investigator.history(&subject).await?;
                history.extend(intents.iter().map(provider_line));
            }
            let finding = Finding { violation, history };
            self.watcher.found(&finding);
            self.report.findings.push(finding);
        }
        Ok(())
    }
}

/// Whether the violation could come from two stores' being looked at one after the other. What is late was
/// late at the moment of the audit, and a SKU's books come from one moment of one database.
fn is_across_stores(violation: &Violation) -> bool {
    match violation.promise {
        Promise::FinalState => false,
        Promise::NoOversell => !matches!(violation.subject, Subject::Sku(_)),
        Promise::ChargeAndOrder | Promise::OnePayment | Promise::Events => true,
    }
}

fn provider_line(intent: &Intent) -> String {
    format!(
        "provider {} {:?}: {} to capture, {} received, {} refunded, created at {}",
        intent.id,
        intent.state,
        intent.capturable_minor,
        intent.received_minor,
        intent.refunded_minor,
        intent.created
    )
}

fn least<const N: usize>(keys: [Option<Uuid>; N]) -> Option<Uuid> {
    keys.into_iter().flatten().min()
}

fn trail(events: &mut Groups<Step>, key: Uuid) -> Result<Option<Trail>> {
    let mut trail = None;
    while let Some(step) = events.take(key)? {
        trail = Some(Trail::fold(trail, step));
    }
    Ok(trail)
}

fn versions(events: &mut Groups<Published>, key: Uuid) -> Result<Option<Versions>> {
    let mut versions = None;
    while let Some(event) = events.take(key)? {
        versions = Some(Versions::fold(versions, event));
    }
    Ok(versions)
}
