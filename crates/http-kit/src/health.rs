use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use futures::future::{BoxFuture, join_all};
use serde::Serialize;

/// How long one check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

type CheckFn = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// One thing that must work for the service to be ready.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    run: Arc<CheckFn>,
}

impl Check {
    pub fn new<F, Fut, E>(name: &'static str, run: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let run = move || -> BoxFuture<'static, Result<(), String>> {
            let answer = run();
            Box::pin(async move { answer.await.map_err(|error| error.to_string()) })
        };
        Self {
            name,
            run: Arc::new(run),
        }
    }
}

/// What a service needs to be ready.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<Check>,
    details: Vec<Details>,
    is_draining: Arc<AtomicBool>,
}

/// What people want to know beside; it does not decide whether the service is ready.
#[derive(Clone)]
struct Details {
    name: &'static str,
    read: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    failed: Vec<Failed>,
    #[serde(flatten)]
    details: BTreeMap<&'static str, serde_json::Value>,
}

#[derive(Serialize)]
struct Failed {
    check: &'static str,
    reason: String,
}

impl Readiness {
    pub fn new(checks: Vec<Check>) -> Self {
        Self {
            checks,
            ..Self::default()
        }
    }

    /// Adds what the report shall say beside, under a name of its own.
    #[must_use]
    pub fn with_details(
        mut self,
        name: &'static str,
        read: impl Fn() -> serde_json::Value + Send + Sync + 'static,
    ) -> Self {
        self.details.push(Details {
            name,
            read: Arc::new(read),
        });
        self
    }

    /// From now on the service says that it is not ready, so that no more requests are brought to it.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    pub(crate) async fn respond(&self) -> HttpResponse {
        let mut failed: Vec<Failed> = join_all(self.checks.iter().map(|check| async move {
            let outcome = tokio::time::timeout(CHECK_TIMEOUT, (check.run)()).await;
            let reason = match outcome {
                Ok(Ok(())) => return None,
                Ok(Err(reason)) => reason,
                Err(_) => format!("no answer within {} ms", CHECK_TIMEOUT.as_millis()),
            };
            Some(Failed {
                check: check.name,
                reason,
            })
        }))
        .await
        .into_iter()
        .flatten()
        .collect();
        if self.is_draining.load(Ordering::Relaxed) {
            failed.push(Failed {
                check: "draining",
                reason: "the service is about to stop".to_owned(),
            });
        }
        let is_ready = failed.is_empty();
        let report = Report {
            status: if is_ready { "ready" } else { "not ready" },
            failed,
            details: self
                .details
                .iter()
                .map(|details| (details.name, (details.read)()))
                .collect(),
        };
        if is_ready {
            HttpResponse::Ok().json(report)
        } else {
            HttpResponse::ServiceUnavailable().json(report)
        }
    }
}
