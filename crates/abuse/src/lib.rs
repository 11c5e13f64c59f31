//! Attacks on a running platform, through its public door. Every attack says what it tried and whether it was held
//! off; what is slow or heavy is left out of the fast set that `make test` runs.

mod accounts;
mod bodies;
mod crowd;
mod fields;
mod ids;
mod logs;
mod report;
mod tokens;
mod webhooks;
mod world;

use anyhow::{Context as _, Result};
use ferrocart_stack::Stack;

pub use report::Report;
pub use world::World;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Seconds: no floods, no thousands of connections.
    Fast,
    All,
}

/// Attacks the stack, which must be fresh and have its sample accounts.
pub async fn run(stack: &Stack, extent: Extent, say: impl Fn(&str)) -> Result<Report> {
    let world = World::new(stack).await.context("preparing the shop")?;
    let mut report = Report::default();
    say("tokens");
    tokens::run(&world, &mut report).await.context("tokens")?;
    say("other people's ids");
    ids::run(&world, &mut report).await.context("ids")?;
    say("fields that are not the client's");
    fields::run(&world, &mut report).await.context("fields")?;
    say("bodies");
    bodies::run(&world, &mut report).await.context("bodies")?;
    say("webhooks");
    webhooks::run(&world, &mut report).await.context("webhooks")?;
    say("accounts");
    accounts::run(&world, extent, &mut report)
        .await
        .context("accounts")?;
    if extent == Extent::All {
        say("slow clients and floods");
        crowd::run(&world, &mut report).await.context("slow clients")?;
    }
    say("logs");
    logs::run(&world, &mut report).context("logs")?;
    Ok(report)
}
