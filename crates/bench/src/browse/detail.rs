//! A product's page, again and again: by the catalog service, through the gateway, and by bare actix-web that answers
//! the same bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use ferrocart_stack::Service;
use serde_json::json;
use uuid::Uuid;

use super::{Shop, bytes::Answer};
use crate::checkout::post;
use crate::child::OwnCommand;
use crate::load::{HttpLoad, Ids, Requests};
use crate::probe::Limits;
use crate::report::{Aim, Figure};
use crate::samples::{self, Samples};
use crate::stats::Summary;
use crate::wire::Template;

const PRODUCTS: usize = 100;
/// What the reference answers besides the body; the server adds the others by itself.
const HEADERS: [&str; 3] = ["content-type", "cache-control", "etag"];

struct Readers<'a> {
    shop: &'a Shop,
    ids: Arc<Vec<Uuid>>,
    reference: OwnCommand,
}

pub(super) async fn measure(shop: &Shop) -> Result<(Vec<Figure>, Vec<String>)> {
    let made = shop.make_products("detail", PRODUCTS).await?;
    let ids: Vec<Uuid> = made.iter().map(|each| each.product_id).collect();
    let first = *ids.first().context("no products")?;
    let answer = whole_answer(shop, first).await?;
    let body_bytes = answer.body.len();
    let file = shop.stack.folder().join("bytes.json");
    std::fs::write(&file, serde_json::to_vec(&answer).context("the answer")?).context("the answer")?;
    let env = BTreeMap::from([("ANSWER_FILE".to_owned(), file.display().to_string())]);
    let readers = Readers {
        shop,
        ids: Arc::new(ids),
        reference: OwnCommand::start("bytes", &env, Stdio::null()).await?,
    };
    shop.published(&[Service::Catalog]).await?;
    let bare_at: SocketAddr = readers.reference.says.parse().context("the reference")?;
    let (catalog_at, gateway_at) = (shop.address(Service::Catalog), shop.address(Service::Gateway));
    let gateway = shop.stack.url(Service::Gateway);
    let session = post(&shop.http, &gateway, "", "/v1/auth/guest", &json!({})).await?;
    let guest = session["access_token"].as_str().context("a guest's token")?;
    let (mut bare, mut catalog, mut through) = (Samples::default(), Samples::default(), Samples::default());
    // The first round is to get warm.
    for run in 0..=shop.options.runs {
        let own = shop.issuer.service_token("catalog").context("sign a token")?;
        let samples = [
            readers
                .read("the same bytes by bare actix-web", bare_at, "")
                .await?,
            readers.read("a product by the catalog", catalog_at, &own).await?,
            readers
                .read("a product through the gateway", gateway_at, guest)
                .await?,
        ];
        if run == 0 {
            continue;
        }
        for (all, sample) in [&mut bare, &mut catalog, &mut through].into_iter().zip(samples) {
            all.push(sample);
        }
    }
    readers.reference.stop().await?;
    let reference = "bare actix-web";
    let figures = vec![
        bare.rate("a product's bytes by bare actix-web, 64 clients"),
        catalog.rate("a product by the catalog service, warm").against(
            reference,
            &bare.per_second(),
            Some(Aim::AtLeast(700)),
        ),
        through
            .rate("a product by the catalog through the gateway")
            .against(reference, &bare.per_second(), Some(Aim::AtLeast(300))),
    ];
    let note = format!(
        "browse: {PRODUCTS} products in turn, {body_bytes} bytes each, closed loop; the catalog is asked with the gateway's \
         token, the gateway with a guest's, rate limits counted in Redis and not reached"
    );
    Ok((figures, vec![note]))
}

/// What the catalog answers.
async fn whole_answer(shop: &Shop, product: Uuid) -> Result<Answer> {
    let token = shop.issuer.service_token("catalog").context("sign a token")?;
    let url = format!("{}/v1/products/{product}", shop.stack.url(Service::Catalog));
    let answer = shop
        .http
        .get(url)
        .bearer_auth(token)
        .send()
        .await
        .context("read a product")?;
    ensure!(answer.status().is_success(), "a product: {}", answer.status());
    let headers = HEADERS.iter().filter_map(|name| {
        let value = answer.headers().get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    Ok(Answer {
        headers: headers.collect(),
        body: answer.text().await.context("a product")?,
    })
}

impl Readers<'_> {
    async fn read(&self, name: &str, target: SocketAddr, token: &str) -> Result<(Summary, Limits)> {
        let load = HttpLoad {
            shape: self.shop.options.shape,
            targets: vec![target],
            requests: Requests::Made(
                Template::get("/v1/products/@", token),
                Ids::InTurn(Arc::clone(&self.ids)),
            ),
            wanted: 200,
            requests_max: u64::MAX,
            keep: false,
            every: None,
        };
        let others: Vec<(&str, u32)> = self
            .reference
            .pid()
            .map(|pid| ("reference", pid))
            .into_iter()
            .collect();
        samples::drive(&self.shop.stack, &others, name, load).await
    }
}
