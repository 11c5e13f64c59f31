//! Which SKUs are in a flash sale: whoever puts one of them into the cart is limited more tightly.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::HttpMessage;
use actix_web::dev::{Payload, ServiceRequest};
use bytes::Bytes;
use ferrocart_http_kit::Problem;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::forward::read_body;
use super::identity::InternalTokens;
use super::table::{Pace, Rule, Service, Verb};
use super::upstream::{Outgoing, OutgoingBody, Upstreams};

/// Newer sales stand first, and those that are live are among them.
const PAGES_MAX: usize = 10;

/// The SKUs of the sales that are live, as they were when they were last asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct FlashSales {
    live: Arc<RwLock<Arc<HashSet<Uuid>>>>,
}

#[derive(Deserialize)]
struct SalesPage {
    items: Vec<Sale>,
    #[serde(default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Sale {
    sku_id: Uuid,
    state: String,
}

/// What is read of a request for the cart; the cart itself judges the rest.
#[derive(Deserialize)]
struct Wanted {
    sku_id: Uuid,
}

impl FlashSales {
    fn live(&self) -> Arc<HashSet<Uuid>> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, skus: HashSet<Uuid>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(skus);
    }

    /// The SKU of a live sale that a request puts into a cart. For that the body is read, and given back; while there is
    /// no sale, nothing is.
    pub(crate) async fn wanted(
        &self,
        rule: &Rule,
        request: &mut ServiceRequest,
        body_bytes_max: usize,
    ) -> Result<Option<Uuid>, Problem> {
        let live = self.live();
        if !rule.is_for_flash_sales || live.is_empty() {
            return Ok(None);
        }
        let sku = if rule.verb == Verb::Post {
            let payload = request.take_payload();
            let body = read_body(request.headers(), payload, body_bytes_max).await?;
            let wanted = serde_json::from_slice::<Wanted>(&body).ok();
            request.set_payload(whole(body));
            wanted.map(|wanted| wanted.sku_id)
        } else {
            request
                .match_info()
                .get("sku_id")
                .and_then(|sku| sku.parse().ok())
        };
        Ok(sku.filter(|sku| live.contains(sku)))
    }
}

fn whole(body: Bytes) -> Payload {
    Payload::Stream {
        payload: Box::pin(futures::stream::once(std::future::ready(Ok(body)))),
    }
}

/// Asks the inventory again and again which sales are live. While it is away, what was known last holds.
pub(crate) async fn watch_sales(
    sales: FlashSales,
    (upstreams, tokens): (Upstreams, InternalTokens),
    period: Duration,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let asked = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            asked = live_skus(&upstreams, &tokens) => asked,
        };
        match asked {
            Ok(skus) => sales.set(skus),
            Err(error) => tracing::debug!(error = format!("{error:#}"), "the flash sales could not be read"),
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(period) => {}
        }
    }
}

async fn live_skus(upstreams: &Upstreams, tokens: &InternalTokens) -> anyhow::Result<HashSet<Uuid>> {
    let mut skus = HashSet::new();
    let mut path = "/v1/flash-sales?limit=100".to_owned();
    for _ in 0..PAGES_MAX {
        let token = tokens.token(Service::Inventory, None).await?;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}"))?);
        let outgoing = Outgoing {
            service: Service::Inventory,
            method: reqwest::Method::GET,
            path_and_query: &path,
            headers,
            body: OutgoingBody::Whole(Bytes::new()),
            pace: Pace::Normal,
        };
        let incoming = upstreams.send(outgoing).await?;
        let page: SalesPage = incoming.response.error_for_status()?.json().await?;
        let live = page.items.iter().filter(|sale| sale.state == "LIVE");
        skus.extend(live.map(|sale| sale.sku_id));
        match page.next_cursor {
            Some(cursor) => path = format!("/v1/flash-sales?limit=100&cursor={cursor}"),
            None => break,
        }
    }
    Ok(skus)
}
