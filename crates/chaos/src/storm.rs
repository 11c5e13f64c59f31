//! Many checkouts at once while everything goes wrong a little.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ferrocart_failpoint::Site;
use ferrocart_stack::Service;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::buyer::{Buyer, GOOD};
use crate::client::Client;
use crate::platform::{Nurse, Platform};
use crate::report::Report;
use crate::run::Options;
use crate::settle::{self, FINAL_WITHIN};

/// Every one of them may be killed.
const VICTIMS: [Service; 6] = [
    Service::Gateway,
    Service::Catalog,
    Service::Cart,
    Service::Inventory,
    Service::Order,
    Service::Payment,
];
/// Of 1,000 deliveries so many come again.
const REDELIVERED_PERMILLE: u16 = 50;
/// Of so many POSTs the provider loses one answer after acting.
const LOST_EVERY: u32 = 100;
/// Of 100 checkouts one has a service killed.
const KILLS_PERCENT: u32 = 1;
const SAY_EVERY: Duration = Duration::from_secs(10);

/// A storm of checkouts.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    pub checkouts: usize,
    pub clients: usize,
}

/// What one checkout came to.
enum Ended {
    Confirmed(Uuid),
    Refused(String),
    Unanswered(String),
}

impl Storm {
    pub(crate) async fn run(
        &self,
        options: &Options,
        chance: &mut ChaCha8Rng,
        say: &mut impl FnMut(&str),
    ) -> Result<Report> {
        let redelivery = format!(
            "{}=error*always%{REDELIVERED_PERMILLE}",
            Site::ConsumerApply.after()
        );
        let platform = Platform::start(options, Some(&redelivery)).await?;
        platform.lose_answers(LOST_EVERY).await?;
        say(&format!(
            "a storm of {} checkouts by {} buyers at once: 1 % kill -9, 1 % lost answers of the provider, 5 % redelivered",
            self.checkouts, self.clients
        ));
        let _nurse = Nurse::watch(&platform.stack);
        let began = Instant::now();
        let (endings, kills) = self.blow(&platform, chance, say).await?;
        let lasted = began.elapsed();
        platform.lose_answers(0).await?;
        let mut violations = Vec::new();
        if let Err(left) = settle::until_final(&platform, FINAL_WITHIN).await? {
            violations.push(format!("not final within {FINAL_WITHIN:?}: {left}"));
        }
        let final_after = began.elapsed().saturating_sub(lasted);
        let counts = judge(&platform, &endings, &mut violations).await?;
        for finding in settle::findings(&platform).await? {
            violations.push(format!(
                "{}\n    {}",
                finding.violation,
                finding.history.join("\n    ")
            ));
        }
        say(&format!(
            "{counts}; {kills} kills in {} s; final {} ms after the storm",
            lasted.as_secs(),
            final_after.as_millis()
        ));
        let mut report = Report::default();
        report
            .others
            .push((format!("storm of {} checkouts", self.checkouts), violations));
        Ok(report)
    }

    async fn blow(
        &self,
        platform: &Platform,
        chance: &mut ChaCha8Rng,
        say: &mut impl FnMut(&str),
    ) -> Result<(Vec<Ended>, u32)> {
        let next = Arc::new(AtomicUsize::new(0));
        let skus = Arc::new(platform.skus.clone());
        let (sender, mut endings) = mpsc::channel(self.clients.max(1));
        let buyers: Vec<_> = (0..self.clients)
            .map(|_| {
                let (client, skus, next) = (platform.client.clone(), Arc::clone(&skus), Arc::clone(&next));
                let (sender, checkouts) = (sender.clone(), self.checkouts);
                ferrocart_telemetry::spawn("chaos-buyer", async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= checkouts {
                            return;
                        }
                        let ended = buy(&client, &skus[number % skus.len()]).await;
                        if sender.send(ended).await.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let mut all = Vec::with_capacity(self.checkouts);
        let (mut said, mut kills) = (Instant::now(), 0);
        while let Some(ended) = endings.recv().await {
            all.push(ended);
            if chance.random_range(0..100) < KILLS_PERCENT {
                let victim = VICTIMS[chance.random_range(0..VICTIMS.len())];
                // One that is just coming up again is killed by and by.
                if platform.stack.process(victim).is_running() {
                    platform.stack.process(victim).kill9()?;
                    kills += 1;
                }
            }
            if said.elapsed() > SAY_EVERY {
                said = Instant::now();
                say(&format!("  {} of {} checkouts", all.len(), self.checkouts));
            }
        }
        for buyer in buyers {
            buyer.await.context("a buyer panicked")?;
        }
        Ok((all, kills))
    }
}

async fn buy(client: &Client, sku: &str) -> Ended {
    let bought = async {
        let buyer = Buyer::guest(client).await?;
        buyer.fill_cart(sku).await?;
        let answer = client.ask(&buyer.checkout(GOOD)).await?;
        if answer.status != 201 {
            return Ok(Ended::Refused(format!("{}: {}", answer.status, answer.text)));
        }
        let order = answer.field("order_id")?;
        Ok::<_, anyhow::Error>(Ended::Confirmed(order.parse().context("an order's id")?))
    };
    bought
        .await
        .unwrap_or_else(|error| Ended::Unanswered(format!("{error:#}")))
}

/// I7: what was answered 201 stands. Every buyer gets an answer.
async fn judge(platform: &Platform, endings: &[Ended], violations: &mut Vec<String>) -> Result<String> {
    let mut answered = Vec::new();
    let mut refusals: BTreeMap<&str, usize> = BTreeMap::new();
    for ended in endings {
        match ended {
            Ended::Confirmed(order) => answered.push(*order),
            // A refusal names its code; what it says besides differs from order to order.
            Ended::Refused(answer) => *refusals.entry(answer.get(..3).unwrap_or("")).or_default() += 1,
            Ended::Unanswered(error) => violations.push(format!("a buyer without an answer: {error}")),
        }
    }
    let standing: i64 = sqlx::query_scalar(
        "SELECT count(DISTINCT order_id) FROM orders WHERE order_id = ANY($1) AND status = 'CONFIRMED'",
    )
    .bind(&answered)
    .fetch_one(&platform.orders)
    .await
    .context("read the orders that were answered 201")?;
    if usize::try_from(standing) != Ok(answered.len()) {
        violations.push(format!(
            "{} orders were answered 201, {standing} of them are CONFIRMED",
            answered.len()
        ));
    }
    let refused = refusals.values().sum::<usize>();
    Ok(format!("{standing} confirmed, {refused} refused {refusals:?}"))
}
