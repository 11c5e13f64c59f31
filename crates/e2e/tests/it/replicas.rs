//! Two replicas of every service, all of which are replaced while people buy: no request fails but with an answer
//! that says to come again, and no promise is broken.
//!
//! With `FERROCART_UPGRADE_FROM` the platform starts from the binaries in that folder (those of an earlier release)
//! and is rolled to the ones at hand: `make upgrade-test FROM=<git ref>`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ferrocart_stack::{Service, Stack};
use ferrocart_test_kit::{eventually, eventually_within};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::platform::{Platform, address, binaries, fresh};
use crate::rush::no_promise_is_broken;

const UPGRADE_FROM: &str = "FERROCART_UPGRADE_FROM";
const BUYERS: usize = 4;
const UNITS: i64 = 100_000;
/// What one call may take with all its repetitions; far more than a replica needs to start.
const PATIENCE: Duration = Duration::from_secs(90);
/// A replica that has not ended by then is killed by Kubernetes (terminationGracePeriodSeconds less the preStop).
const GRACE: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_is_replaced_while_people_buy() {
    let from = upgrade_from().unwrap_or_else(|| binaries().into());
    let balancers = join_all(Service::ALL.map(|_| Balancer::start())).await;
    let mut builder = Stack::builder().binaries(&from);
    for service in Service::ALL {
        for (neighbour, balancer) in Service::ALL.iter().zip(&balancers) {
            let variable = format!("{}_URL", neighbour.name().to_uppercase());
            builder = builder.env(service, variable, format!("http://127.0.0.1:{}", balancer.port));
        }
    }
    let platform = Platform::of(builder).await;
    for (service, balancer) in Service::ALL.into_iter().zip(&balancers) {
        balancer.add(platform.stack.port(service));
    }
    let sku_id = platform.product_with_stock("rolled", UNITS).await;
    let mut pairs = Vec::new();
    for (service, balancer) in Service::ALL.into_iter().zip(balancers) {
        pairs.push(Pair::start(&platform.stack, service, balancer, &from).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::new(Told::default());
    let buyers: Vec<_> = (0..BUYERS)
        .map(|_| {
            let buyer = Buyer {
                http: reqwest::Client::new(),
                gateway: pairs[0].balancer.port,
                told: Arc::clone(&told),
            };
            ferrocart_telemetry::spawn("buyer", buyer.buy_until(Arc::clone(&stop), sku_id.clone()))
        })
        .collect();
    let to = PathBuf::from(binaries());
    for which in [0, 1] {
        let replaced = pairs
            .iter_mut()
            .map(|pair| pair.replace(which, &platform.stack, &to));
        join_all(replaced).await;
        // Meanwhile it was all on the other one.
        join_all(pairs.iter().map(|pair| pair.is_asked(1 - which))).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut orders = BTreeSet::new();
    for buyer in buyers {
        orders.extend(buyer.await.unwrap());
    }

    println!(
        "{} orders; told to come again: {:?}",
        orders.len(),
        told.0.lock().unwrap()
    );
    assert!(orders.len() >= BUYERS, "{orders:?}");
    let sold = i64::try_from(orders.len()).unwrap();
    eventually("stock that agrees with the orders", || async {
        let stock = platform.stock(&sku_id).await;
        (stock["on_hand"] == UNITS && stock["reserved"].as_i64() >= Some(sold)).then_some(())
    })
    .await;
    no_promise_is_broken(&platform).await;
}

#[expect(clippy::disallowed_methods, reason = "tests have no settings file")]
fn upgrade_from() -> Option<PathBuf> {
    std::env::var(UPGRADE_FROM)
        .ok()
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
}

/// Takes connections for one service and gives each to one of its replicas in turn, as a cluster's Service does.
struct Balancer {
    port: u16,
    replicas: Arc<Mutex<Vec<u16>>>,
}

impl Balancer {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let replicas = Arc::new(Mutex::new(Vec::new()));
        ferrocart_telemetry::spawn("balancer", balance(listener, Arc::clone(&replicas)));
        Self { port, replicas }
    }

    fn add(&self, port: u16) {
        self.replicas.lock().unwrap().push(port);
    }

    fn remove(&self, port: u16) {
        self.replicas.lock().unwrap().retain(|other| *other != port);
    }
}

async fn balance(listener: TcpListener, replicas: Arc<Mutex<Vec<u16>>>) {
    for turn in 0_usize.. {
        let Ok((mut client, _)) = listener.accept().await else {
            return;
        };
        let replica = {
            let replicas = replicas.lock().unwrap();
            (!replicas.is_empty()).then(|| replicas[turn % replicas.len()])
        };
        let Some(replica) = replica else { continue };
        ferrocart_telemetry::spawn("connection", async move {
            if let Ok(mut server) = TcpStream::connect(("127.0.0.1", replica)).await {
                // Either side may cut it off.
                tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
            }
        });
    }
}

/// The two replicas of a service.
struct Pair {
    service: Service,
    balancer: Balancer,
    ports: [u16; 2],
    /// The first is the stack's own until it is replaced.
    processes: [Option<Child>; 2],
}

impl Pair {
    async fn start(stack: &Stack, service: Service, balancer: Balancer, from: &Path) -> Self {
        let mut pair = Self {
            service,
            balancer,
            ports: [stack.port(service), free_port().await],
            processes: [None, None],
        };
        pair.run(1, stack, from).await;
        pair
    }

    /// Starts the replica and sends people to it once it is ready.
    async fn run(&mut self, which: usize, stack: &Stack, binaries: &Path) {
        let mut env = stack.env_for(self.service).unwrap();
        env.insert("PORT".to_owned(), self.ports[which].to_string());
        if let (Some(folder), 1) = (env.get_mut("INDEX_DIR"), which) {
            folder.push_str("-2");
            std::fs::create_dir_all(folder).unwrap();
        }
        let log = stack.folder().join(format!("logs/{}-{which}.log", self.service));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let process = Command::new(binaries.join(self.service.binary()))
            .arg("serve")
            .env_clear()
            .envs(env)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.processes[which] = Some(process);
        self.wait_ready(which).await;
        self.balancer.add(self.ports[which]);
    }

    async fn wait_ready(&self, which: usize) {
        let url = format!("http://127.0.0.1:{}/health/ready", self.ports[which]);
        eventually_within(PATIENCE, &format!("{} is ready", self.service), || async {
            let answer = reqwest::get(&url).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// As a rollout does: taken out, asked to end, and another one in its place.
    async fn replace(&mut self, which: usize, stack: &Stack, binaries: &Path) {
        self.balancer.remove(self.ports[which]);
        match self.processes[which].take() {
            None => stack.process(self.service).stop().await.unwrap(),
            Some(mut process) => {
                let pid = process.id().expect("it runs");
                let kill = Command::new("sh")
                    .arg("-c")
                    .arg(format!("kill -TERM {pid}"))
                    .status();
                assert!(kill.await.unwrap().success());
                let ended = tokio::time::timeout(GRACE, process.wait()).await;
                let status = ended
                    .unwrap_or_else(|_| panic!("{} does not end", self.service))
                    .unwrap();
                assert!(status.success(), "{} ended with {status}", self.service);
            }
        }
        self.run(which, stack, binaries).await;
    }

    /// Waits until the replica has answered somebody. Nobody asks search and notification in this test.
    async fn is_asked(&self, which: usize) {
        if matches!(self.service, Service::Search | Service::Notification) {
            return;
        }
        let url = format!("http://127.0.0.1:{}/metrics", self.ports[which]);
        eventually_within(
            PATIENCE,
            &format!("{} is asked at {url}", self.service),
            || async {
                let metrics = reqwest::get(&url).await.ok()?.text().await.ok()?;
                metrics.lines().any(counts_a_request).then_some(())
            },
        )
        .await;
    }
}

/// Of somebody who wants something.
fn counts_a_request(line: &str) -> bool {
    let is_ours = ["/health", "/metrics", "/openapi"]
        .iter()
        .any(|path| line.contains(path));
    line.starts_with("http_requests_total") && !is_ours
}

/// Below the range from which outgoing connections take theirs: nobody takes it while its replica is away.
async fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 4_000).unwrap();
    loop {
        let port = 10_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 4_900;
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}

/// How often what answer told a client to come again.
#[derive(Default)]
struct Told(Mutex<BTreeMap<String, usize>>);

/// A careful client: it repeats what it is told to repeat, and what it got no answer to, under the same key.
struct Buyer {
    http: reqwest::Client,
    gateway: u16,
    told: Arc<Told>,
}

impl Buyer {
    /// Buys one unit after the other, at least one; answers the orders.
    async fn buy_until(self, stop: Arc<AtomicBool>, sku_id: String) -> Vec<String> {
        let mut orders = Vec::new();
        loop {
            let last = stop.load(Ordering::Relaxed);
            orders.push(self.buy(&sku_id).await);
            if last {
                return orders;
            }
        }
    }

    async fn buy(&self, sku_id: &str) -> String {
        let guest = self.call(Method::POST, "/v1/auth/guest", None, &json!({})).await;
        let token = guest["access_token"].as_str();
        let item = json!({ "sku_id": sku_id, "quantity": 1 });
        self.call(Method::POST, "/v1/cart/items", token, &item).await;
        let checkout = json!({
            "payment_method": "pm_card_visa", "email": "guest@example.com", "shipping_address": address(),
        });
        let order = self.call(Method::POST, "/v1/checkout", token, &checkout).await;
        let order_id = order["order_id"].as_str().unwrap();
        let page = self
            .call(
                Method::GET,
                &format!("/v1/orders/{order_id}"),
                token,
                &Value::Null,
            )
            .await;
        assert_eq!(page["status"], "CONFIRMED", "{page}");
        order_id.to_owned()
    }

    async fn call(&self, method: Method, path: &str, token: Option<&str>, body: &Value) -> Value {
        let (started, key) = (Instant::now(), fresh());
        loop {
            let url = format!("http://127.0.0.1:{}{path}", self.gateway);
            let mut request = self
                .http
                .request(method.clone(), url)
                .header("idempotency-key", &key);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if !body.is_null() {
                request = request.json(body);
            }
            let why = match request.send().await {
                Ok(answer) => {
                    let status = answer.status();
                    let json: Value = answer.json().await.unwrap_or_default();
                    if status.is_success() && status != 202 {
                        return json;
                    }
                    assert!(
                        may_be_repeated(status.as_u16(), &json),
                        "{method} {path}: {status}: {json}"
                    );
                    format!(
                        "{method} {path}: {status} {}",
                        json["code"].as_str().unwrap_or_default()
                    )
                }
                Err(error) => format!(
                    "{method} {path}: no answer{}",
                    if error.is_connect() { " (refused)" } else { "" }
                ),
            };
            *self.told.0.lock().unwrap().entry(why.clone()).or_default() += 1;
            assert!(started.elapsed() < PATIENCE, "still after {PATIENCE:?}: {why}");
            // Polling, as a client that was told to come back does.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn may_be_repeated(status: u16, problem: &Value) -> bool {
    status == 202 || problem["retryable"] == true
}
