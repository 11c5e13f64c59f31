use std::sync::Arc;
use std::time::Duration;

use ferrocart_types::SkuId;
use futures::future::join_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admission::Engine;
use crate::admission::counter::{self, Note};

/// The most letters that wait; what does not fit makes its counter doubtful.
pub(super) const LETTERS_MAX: usize = 16_384;
const AT_ONCE: usize = 256;
/// At the end the lanes finish their queues; this long after the last word of theirs nobody listens.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What one shard is to be told.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) sku: SkuId,
    pub(super) key: String,
    pub(super) note: Note,
}

/// Tells the counters what became of takes and what was committed. Nobody waits for it: the answers to buyers
/// do not depend on it. In whatever order letters arrive, they come to the same.
pub(super) async fn deliver(
    engine: Arc<Engine>,
    mut inbox: mpsc::Receiver<Letter>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let mut letters = Vec::with_capacity(AT_ONCE);
    loop {
        let count = if cancel.is_cancelled() {
            let last = tokio::time::timeout(LAST_WORDS, inbox.recv_many(&mut letters, AT_ONCE));
            last.await.unwrap_or(0)
        } else {
            tokio::select! {
                count = inbox.recv_many(&mut letters, AT_ONCE) => count,
                () = cancel.cancelled() => continue,
            }
        };
        if count == 0 {
            return Ok(());
        }
        let deliveries = letters.drain(..).map(|letter| deliver_one(&engine, letter));
        join_all(deliveries).await;
    }
}

async fn deliver_one(engine: &Engine, letter: Letter) {
    match counter::settle(&engine.redis, &letter.key, &letter.note).await {
        Ok(true) => {}
        Ok(false) => engine.registry.doubt(letter.sku),
        Err(error) => {
            tracing::debug!(sku.id = %letter.sku, %error, "a counter was not told of a commit");
            engine.registry.doubt(letter.sku);
        }
    }
}
