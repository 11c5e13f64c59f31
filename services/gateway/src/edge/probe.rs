use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::table::Service;
use super::upstream::Upstreams;

const PERIOD: Duration = Duration::from_secs(5);

/// Which services said last that they are ready. For people and dashboards: a service that is away costs
/// its own calls alone, so it does not make the gateway unready.
#[derive(Clone, Default)]
pub(crate) struct UpstreamHealth {
    ready: Arc<RwLock<BTreeMap<&'static str, bool>>>,
}

impl UpstreamHealth {
    pub(crate) fn states(&self) -> BTreeMap<&'static str, &'static str> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        Service::ALL
            .into_iter()
            .map(|service| {
                let state = match ready.get(service.name()) {
                    Some(true) => "ready",
                    Some(false) => "not ready",
                    None => "not asked yet",
                };
                (service.name(), state)
            })
            .collect()
    }

    fn set(&self, service: Service, is_ready: bool) {
        metrics::gauge!("upstream_ready", "service" => service.name()).set(if is_ready { 1.0 } else { 0.0 });
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if ready.insert(service.name(), is_ready) == Some(!is_ready) {
            tracing::info!(
                upstream = service.name(),
                is_ready,
                "a service's readiness changed"
            );
        }
    }
}

/// Asks every service every few seconds.
pub(crate) async fn probe(
    health: UpstreamHealth,
    upstreams: Upstreams,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let asked = Service::ALL.map(|service| {
            let upstreams = upstreams.clone();
            async move {
                let answer = upstreams.get_public(service, "/health/ready").await;
                (service, answer.is_ok())
            }
        });
        let answers = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            answers = futures::future::join_all(asked) => answers,
        };
        for (service, is_ready) in answers {
            health.set(service, is_ready);
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}
