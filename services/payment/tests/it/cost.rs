use std::time::Duration;

use ferrocart_test_kit::eventually;
use futures::{StreamExt, stream};

use crate::desk::{Desk, fresh};

const PAYMENTS: u64 = 200;
const AT_ONCE: usize = 32;

async fn commits(desk: &Desk) -> u64 {
    let commits: i64 =
        sqlx::query_scalar("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
            .fetch_one(desk.pool())
            .await
            .unwrap();
    u64::try_from(commits).unwrap()
}

/// What PostgreSQL counts reaches its statistics within seconds.
async fn settled_commits(desk: &Desk) -> u64 {
    let mut before = commits(desk).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        before = commits(desk).await;
    }
    before
}

/// The intent before the call, the outcome after it, a look at the webhook, each shared with others, and the relay's
/// share.
#[tokio::test]
async fn an_authorization_costs_few_commits_and_no_reads_at_the_provider() {
    let desk = Desk::open_with_webhooks().await;
    // It is not time for a reconciliation, which reads at the provider.
    sqlx::query(
        "INSERT INTO reconciliation_runs (run_id, window_from, window_until, phase, leased_until, started_at, finished_at)
         VALUES (gen_random_uuid(), now(), now(), 'DONE', now(), now(), now())",
    )
    .execute(desk.pool())
    .await
    .unwrap();
    let before = settled_commits(&desk).await;
    stream::iter(0..PAYMENTS)
        .for_each_concurrent(AT_ONCE, |_| async {
            desk.authorize(fresh(), "pm_card_visa").await.expect(201);
        })
        .await;
    desk.psp.webhooks_delivered().await;
    eventually("all events are published", || async {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox")
            .fetch_one(desk.pool())
            .await
            .unwrap();
        (left == 0).then_some(())
    })
    .await;
    let spent = settled_commits(&desk).await - before;
    println!("{spent} commits for {PAYMENTS} authorizations");
    // The relay and the recovery worker look a few times a second, whatever happens.
    assert!(spent <= PAYMENTS * 2 + 100, "{spent}");
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM provider_events")
        .fetch_one(desk.pool())
        .await
        .unwrap();
    assert_eq!(written, 0, "webhooks of what is known write nothing");
    assert_eq!(
        desk.psp.served().await,
        (0, PAYMENTS),
        "reads and writes at the provider"
    );
}
