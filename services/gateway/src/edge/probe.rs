use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::table::Service;
use super::upstream::{ReplicaState, Upstreams};

const PERIOD: Duration = Duration::from_secs(5);

/// Which services said last that they are ready. For people and dashboards: a service that is away costs
/// its own calls alone, so it does not make the gateway unready.
#[derive(Clone, Default)]
pub(crate) struct UpstreamHealth {
    replicas: Arc<RwLock<BTreeMap<&'static str, Vec<ReplicaState>>>>,
}

/// How a service was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ServiceHealth {
    /// `ready` when at least one replica is.
    status: &'static str,
    replicas: usize,
    ready: usize,
    /// Those that failed again and again and are not asked for a while.
    ejected: usize,
}

impl UpstreamHealth {
    pub(crate) fn states(&self) -> BTreeMap<&'static str, ServiceHealth> {
        let known = self.replicas.read().unwrap_or_else(PoisonError::into_inner);
        let state = |service: Service| {
            let replicas = known.get(service.name()).map_or(&[][..], Vec::as_slice);
            let count = |is: fn(&ReplicaState) -> bool| replicas.iter().filter(|replica| is(replica)).count();
            let ready = count(|replica| replica.is_ready);
            ServiceHealth {
                status: match (replicas.is_empty(), ready) {
                    (true, _) => "not asked yet",
                    (false, 0) => "not ready",
                    (false, _) => "ready",
                },
                replicas: replicas.len(),
                ready,
                ejected: count(|replica| replica.is_ejected),
            }
        };
        Service::ALL
            .into_iter()
            .map(|service| (service.name(), state(service)))
            .collect()
    }

    fn set(&self, service: Service, replicas: Vec<ReplicaState>) {
        let is_ready = |replicas: &[ReplicaState]| replicas.iter().any(|replica| replica.is_ready);
        let now = is_ready(&replicas);
        metrics::gauge!("upstream_ready", "service" => service.name()).set(if now { 1.0 } else { 0.0 });
        let mut known = self.replicas.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.insert(service.name(), replicas);
        if before.is_some_and(|before| is_ready(&before) != now) {
            tracing::info!(
                upstream = service.name(),
                is_ready = now,
                "a service's readiness changed"
            );
        }
    }
}

/// Asks every replica of every service every few seconds.
pub(crate) async fn probe(
    health: UpstreamHealth,
    upstreams: Upstreams,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let asked = Service::ALL.map(|service| {
            let upstreams = upstreams.clone();
            async move {
                let replicas = upstreams.probe(service).await;
                (service, replicas)
            }
        });
        let answers = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            answers = futures::future::join_all(asked) => answers,
        };
        for (service, replicas) in answers {
            health.set(service, replicas);
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}
