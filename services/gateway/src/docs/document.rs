use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use ferrocart_http_kit::openapi_document;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use super::merge::{mark_deprecated, merge};
use crate::edge::{Deprecation, Service, Upstreams};
use crate::openapi::ApiDoc;

/// Until every service has been asked with success once.
const RETRY: Duration = Duration::from_secs(2);

/// The public document as it stands: what a service said last stays while it is away.
#[derive(Clone)]
pub(crate) struct Documents {
    inner: Arc<Inner>,
}

struct Inner {
    own: Value,
    deprecations: Vec<Deprecation>,
    services: RwLock<BTreeMap<Service, Value>>,
    merged: RwLock<Bytes>,
}

impl Documents {
    pub(crate) fn new(own: Value, deprecations: Vec<Deprecation>) -> Self {
        let inner = Inner {
            own,
            deprecations,
            services: RwLock::default(),
            merged: RwLock::default(),
        };
        let documents = Self {
            inner: Arc::new(inner),
        };
        documents.put(Vec::new());
        documents
    }

    pub(crate) fn merged(&self) -> Bytes {
        let merged = self.inner.merged.read().unwrap_or_else(PoisonError::into_inner);
        merged.clone()
    }

    fn put(&self, found: Vec<(Service, Value)>) {
        let mut services = self
            .inner
            .services
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        services.extend(found);
        let mut merged = merge(&self.inner.own, &services);
        mark_deprecated(&mut merged, &self.inner.deprecations);
        let merged = text(&merged);
        *self.inner.merged.write().unwrap_or_else(PoisonError::into_inner) = merged;
    }

    fn is_complete(&self) -> bool {
        let services = self.inner.services.read().unwrap_or_else(PoisonError::into_inner);
        services.len() == Service::ALL.len()
    }
}

/// The gateway's own part.
pub(crate) fn own_document() -> serde_json::Result<Value> {
    openapi_document(&ApiDoc::openapi())
}

/// What a gateway serves that has read these documents of the services, by the services' names.
pub(crate) fn public_document(documents: &BTreeMap<String, Value>) -> serde_json::Result<Value> {
    let known = Service::ALL.into_iter();
    let documents = known.filter_map(|service| Some((service, documents.get(service.name())?.clone())));
    Ok(merge(&own_document()?, &documents.collect()))
}

fn text(document: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(document).unwrap_or_default())
}

/// Asks the services for their documents, at first often, then as the settings say.
pub(crate) async fn refresh(
    documents: Documents,
    upstreams: Upstreams,
    period: Duration,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let asked = Service::ALL.map(|service| {
            let upstreams = upstreams.clone();
            async move { (service, ask(&upstreams, service).await) }
        });
        let answers = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            answers = futures::future::join_all(asked) => answers,
        };
        let mut found = Vec::new();
        for (service, answer) in answers {
            match answer {
                Ok(document) => found.push((service, document)),
                Err(error) => {
                    tracing::debug!(
                        upstream = service.name(),
                        error = format!("{error:#}"),
                        "no OpenAPI document"
                    );
                }
            }
        }
        documents.put(found);
        let pause = if documents.is_complete() {
            period
        } else {
            RETRY.min(period)
        };
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn ask(upstreams: &Upstreams, service: Service) -> anyhow::Result<Value> {
    let body = upstreams.get_public(service, "/openapi.json").await?;
    Ok(serde_json::from_slice(&body)?)
}
