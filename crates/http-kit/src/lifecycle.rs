use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;

/// A token that is cancelled by SIGTERM or SIGINT.
pub fn shutdown_signal() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancelled = token.clone();
    ferrocart_telemetry::spawn("shutdown-signal", async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: shutting down"),
            _ = interrupt.recv() => tracing::info!("SIGINT: shutting down"),
        }
        cancelled.cancel();
    });
    Ok(token)
}

/// Runs `work` to its end even if the client hangs up meanwhile: dropping the answer's future does not
/// drop the work, so that no transaction is cut in two.
pub async fn detached<T, E, F>(name: &'static str, work: F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<Problem> + Send + 'static,
{
    match ferrocart_telemetry::spawn(name, work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(task = name, %error, "a request's work panicked");
            Err(E::from(Problem::internal()))
        }
    }
}

/// The long-running tasks of a service: relay, consumers, workers. One that ends before it is told to
/// takes the service down, so that it is restarted instead of limping on.
#[derive(Debug, Default)]
pub struct Background {
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
}

impl Background {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Waits until `cancel` fires or a task ends by itself, which cancels the rest; then waits for all.
    pub async fn run(mut self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let failure = match ended {
                Ok((_, Ok(()))) if cancel.is_cancelled() => continue,
                Ok((name, Ok(()))) => anyhow::anyhow!("the task {name} ended by itself"),
                Ok((name, Err(error))) => error.context(format!("the task {name} failed")),
                Err(error) => anyhow::anyhow!("a task panicked: {error}"),
            };
            tracing::error!(
                error = format!("{failure:#}"),
                "a background task ended: shutting down"
            );
            cancel.cancel();
            if outcome.is_ok() {
                outcome = Err(failure);
            }
        }
        outcome
    }
}
