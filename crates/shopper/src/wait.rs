//! Polling with a deadline.

use std::time::{Duration, Instant};

use crate::api::Answer;
use crate::report::Unmet;

const PAUSE_FIRST: Duration = Duration::from_millis(15);
const PAUSE_MAX: Duration = Duration::from_millis(250);

pub(crate) enum Attempt<T> {
    Done(T),
    /// Not as it must be yet; this is what came instead.
    NotYet(Option<Box<Answer>>),
}

impl<T> Attempt<T> {
    pub(crate) fn not_yet(answer: Answer) -> Self {
        Self::NotYet(Some(Box::new(answer)))
    }
}

/// Tries until it is done, an expectation fails for good, or the time is over.
pub(crate) async fn until<T>(
    limit: Duration,
    expectation: &str,
    mut attempt: impl AsyncFnMut() -> Result<Attempt<T>, Unmet>,
) -> Result<T, Unmet> {
    let begin = Instant::now();
    let mut pause = PAUSE_FIRST;
    loop {
        match attempt().await? {
            Attempt::Done(value) => return Ok(value),
            Attempt::NotYet(answer) if begin.elapsed() >= limit => {
                return Err(Unmet {
                    expectation: format!("{expectation} within {limit:?}"),
                    answer,
                });
            }
            Attempt::NotYet(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_when_it_is_done() {
        let mut tries = 0;
        let got = until(Duration::from_secs(5), "three tries", async || {
            tries += 1;
            Ok(if tries == 3 {
                Attempt::Done(tries)
            } else {
                Attempt::NotYet(None)
            })
        });
        assert_eq!(got.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn it_ends_when_the_time_is_over_and_says_what_for() {
        let limit = Duration::from_millis(40);
        let unmet = until::<()>(limit, "the moon", async || Ok(Attempt::NotYet(None)))
            .await
            .unwrap_err();
        assert!(unmet.to_string().contains("the moon within 40ms"), "{unmet}");
    }
}
