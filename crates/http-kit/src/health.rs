use std::sync::Arc;
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
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Failed {
    check: &'static str,
    reason: String,
}

impl Readiness {
    pub fn new(checks: Vec<Check>) -> Self {
        Self { checks }
    }

    pub(crate) async fn respond(&self) -> HttpResponse {
        let failed: Vec<Failed> = join_all(self.checks.iter().map(|check| async move {
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
        if failed.is_empty() {
            HttpResponse::Ok().json(Report {
                status: "ready",
                failed,
            })
        } else {
            HttpResponse::ServiceUnavailable().json(Report {
                status: "not ready",
                failed,
            })
        }
    }
}
