//! Adding to carts: the service beside a bare round trip to Redis behind the same HTTP layer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferrocart_http_kit::{Role, UserIdentity};
use ferrocart_stack::Service;
use ferrocart_types::{IdGen as _, SystemIds, UserId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Shop;
use crate::child::{OwnCommand, log_file};
use crate::load::{HttpLoad, Requests};
use crate::probe::Limits;
use crate::report::{Aim, Figure};
use crate::samples::{self, Samples};
use crate::stats::Summary;
use crate::wire::Template;

const CARTS: usize = 1_000;
/// Different ones, so that this many lines come back with each answer.
const SKUS: usize = 5;
/// Of an addition at half of the rate, in microseconds.
const P99_US: u64 = 5_000;
/// Below the life of a token: all loads of a round have the same ones.
const ROUND_MAX: Duration = Duration::from_secs(50);

struct Shoppers<'a> {
    shop: &'a Shop,
    users: Vec<UserIdentity>,
    skus: Vec<Uuid>,
    reference: OwnCommand,
}

pub(super) async fn measure(shop: &Shop) -> Result<(Vec<Figure>, Vec<String>)> {
    let made = shop.make_products("cart", SKUS).await?;
    let env = shop.stack.env_for(Service::Cart)?;
    let log = log_file(&shop.log("round-trip"))?;
    let shoppers = Shoppers {
        shop,
        users: (0..CARTS).map(|_| guest()).collect(),
        skus: made.iter().map(|each| each.sku_id).collect(),
        reference: OwnCommand::start("round-trip", &env, log.into()).await?,
    };
    let raw_at: SocketAddr = shoppers.reference.says.parse().context("the reference")?;
    let cart_at = shop.address(Service::Cart);
    let (mut raw, mut cart, mut half) = (Samples::default(), Samples::default(), Samples::default());
    let mut sent = 0;
    // The first round is to get warm.
    for run in 0..=shop.options.runs {
        let requests = shoppers.requests()?;
        let trip = shoppers
            .add("a round trip to Redis", raw_at, &requests, None)
            .await?;
        let added = shoppers.add("into the cart", cart_at, &requests, None).await?;
        let rate = (added.0.per_second / 2).max(1);
        let at_half = shoppers
            .add("into the cart, half the rate", cart_at, &requests, Some(rate))
            .await?;
        sent += added.0.total() + at_half.0.total();
        if run == 0 {
            continue;
        }
        raw.push(trip);
        cart.push(added);
        half.push(at_half);
    }
    let held = shoppers.units().await?;
    ensure!(
        held == sent,
        "{sent} units were added and {held} are in the carts"
    );
    shoppers.reference.stop().await?;
    let wanted = vec![P99_US; shop.options.runs];
    let figures = vec![
        raw.rate("a script in Redis behind the same HTTP layer, 64 clients"),
        cart.rate("cart: add an item")
            .against("the bare script", &raw.per_second(), Some(Aim::AtLeast(500))),
        Figure::new("  at half of that rate: p50", " µs", half.p50_us()),
        Figure::new("  at half of that rate: p99", " µs", half.p99_us()).against(
            "5 ms",
            &wanted,
            Some(Aim::AtMost(1_000)),
        ),
    ];
    let note = format!(
        "cart: {CARTS} carts of {SKUS} lines, at the service itself; closed loop, then arriving at half of that rate; all \
         {held} units that were answered 200 are in the carts"
    );
    Ok((figures, vec![note]))
}

fn guest() -> UserIdentity {
    UserIdentity {
        user_id: UserId(SystemIds.next()),
        roles: vec![Role::Guest],
        email: None,
        guest_session: None,
    }
}

impl Shoppers<'_> {
    /// One unit of every SKU for every cart, with tokens that are new.
    fn requests(&self) -> Result<Arc<Vec<Vec<u8>>>> {
        let tokens: Vec<String> = self
            .users
            .iter()
            .map(|user| self.shop.issuer.user_token("cart", user).context("sign a token"))
            .collect::<Result<_>>()?;
        let mut requests = Vec::with_capacity(self.skus.len() * tokens.len());
        for sku in &self.skus {
            let body = json!({ "sku_id": sku, "quantity": 1 }).to_string();
            for token in &tokens {
                requests.push(Template::post("/v1/cart/items", token, &body).with(&[]).to_vec());
            }
        }
        Ok(Arc::new(requests))
    }

    async fn add(
        &self,
        name: &str,
        target: SocketAddr,
        requests: &Arc<Vec<Vec<u8>>>,
        per_second: Option<u64>,
    ) -> Result<(Summary, Limits)> {
        let shape = self.shop.options.shape;
        ensure!(
            (shape.warm_up + shape.lasts) * 3 < ROUND_MAX,
            "a round outlives its tokens"
        );
        let load = HttpLoad {
            shape,
            targets: vec![target],
            requests: Requests::InTurn(Arc::clone(requests)),
            wanted: 200,
            requests_max: u64::MAX,
            keep: false,
            every: per_second.map(|rate| shape.every(rate)),
        };
        let others: Vec<(&str, u32)> = self
            .reference
            .pid()
            .map(|pid| ("reference", pid))
            .into_iter()
            .collect();
        samples::drive(&self.shop.stack, &others, name, load).await
    }

    /// What is in all carts.
    async fn units(&self) -> Result<u64> {
        let mut units = 0;
        for user in &self.users {
            let token = self
                .shop
                .issuer
                .user_token("cart", user)
                .context("sign a token")?;
            let url = format!("{}/v1/cart", self.shop.stack.url(Service::Cart));
            let answer = self
                .shop
                .http
                .get(url)
                .bearer_auth(token)
                .send()
                .await
                .context("read a cart")?;
            let cart: Value = answer.json().await.context("a cart")?;
            let lines = cart["items"].as_array().context("a cart's lines")?;
            units += lines
                .iter()
                .filter_map(|line| line["quantity"].as_u64())
                .sum::<u64>();
        }
        Ok(units)
    }
}
