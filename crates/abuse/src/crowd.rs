//! Clients that are slow on purpose, and many: what the others notice of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::report::Report;
use crate::world::{World, client};

const CONNECTIONS: usize = 2_000;
/// Longer than a client may take for its head or its body, as shipped.
const PATIENCE: Duration = Duration::from_secs(14);
const CALM: Duration = Duration::from_secs(6);
/// So many clients shop meanwhile, each with pauses, as people do.
const OTHERS: u8 = 8;
const PAUSE: Duration = Duration::from_millis(20);
/// How many times the others' 99th percentile may be what it is without the attack, in percent.
const GROWTH_MAX: u128 = 200;

#[derive(Clone, Copy)]
enum Slow {
    /// A head that never ends.
    Head,
    /// A body of which a byte comes now and then.
    Body,
    /// Nothing at all.
    Silent,
    /// Heads of hundreds of fields, one after the other.
    Fields,
}

pub(crate) async fn run(world: &World, report: &mut Report) -> Result<()> {
    // Once to get warm.
    others(world, Duration::from_secs(2)).await?;
    for (what, slow) in [
        ("slow heads", Slow::Head),
        ("slow bodies", Slow::Body),
        ("silent connections", Slow::Silent),
        ("header floods", Slow::Fields),
    ] {
        // Before and after, so that a machine that gets slower meanwhile is not taken for the attack.
        let before = others(world, CALM).await?;
        let (crowd, pressed) = tokio::join!(crowd(world, slow), others(world, PATIENCE));
        let (crowd, pressed) = (crowd?, pressed?);
        let calm = before.and(others(world, CALM).await?);
        let growth = percent(pressed.at(99), calm.at(99));
        report.note(format!(
            "{what}, {CONNECTIONS} connections: others' p99 {:?} → {:?}, {}.{:02} times (p50 {:?} → {:?}; {} and {} requests), \
             {} of {} slow clients cut off",
            calm.at(99), pressed.at(99), growth / 100, growth % 100, calm.at(50), pressed.at(50), calm.count(),
            pressed.count(), crowd.cut, crowd.opened
        ));
        report.check(
            &format!("{what}: the others' p99 at most doubles"),
            growth <= GROWTH_MAX,
            format!("{:?} → {:?}", calm.at(99), pressed.at(99)),
        );
        report.check(
            &format!("{what}: the others are served"),
            pressed.failed == 0,
            format!("{} failed", pressed.failed),
        );
        if !matches!(slow, Slow::Fields) {
            report.check(
                &format!("{what} are cut off"),
                crowd.cut * 10 >= crowd.opened * 9,
                format!("{} of {}", crowd.cut, crowd.opened),
            );
        }
    }
    Ok(())
}

struct Crowd {
    opened: usize,
    cut: usize,
}

async fn crowd(world: &World, slow: Slow) -> Result<Crowd> {
    let clients = (0..CONNECTIONS).map(|number| one(world.port, number, slow));
    let outcomes = futures::future::join_all(clients).await;
    let opened = outcomes.iter().flatten().count();
    let cut = outcomes.iter().flatten().filter(|cut| **cut).count();
    anyhow::ensure!(
        opened * 10 >= CONNECTIONS * 9,
        "only {opened} of {CONNECTIONS} connections were made"
    );
    Ok(Crowd { opened, cut })
}

/// Whether the server ended it before we did.
async fn one(port: u16, number: usize, slow: Slow) -> Result<bool> {
    let mut stream = connect(port, number).await?;
    let until = Instant::now() + PATIENCE;
    let first: &[u8] = match slow {
        Slow::Silent => b"",
        Slow::Head | Slow::Fields => b"GET /v1/products HTTP/1.1\r\nhost: x\r\n",
        Slow::Body => b"POST /v1/auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n",
    };
    stream.write_all(first).await?;
    let flood = "x-flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(50);
    let mut part = [0_u8; 1024];
    while Instant::now() < until {
        let answered = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut part)).await;
        // An answer, the end, or a reset: it has had enough of us.
        if answered.is_ok() {
            return Ok(true);
        }
        let more: &[u8] = match slow {
            Slow::Silent => b"",
            Slow::Head => b"x: y\r\n",
            Slow::Body => b" ",
            Slow::Fields => flood.as_bytes(),
        };
        if stream.write_all(more).await.is_err() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// From many addresses, as a botnet would.
async fn connect(port: u16, number: usize) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number % 200).unwrap_or_default() + 1;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 20, last)), 0))?;
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    tokio::time::timeout(Duration::from_secs(10), socket.connect(target))
        .await
        .context("connect in time")?
        .context("connect")
}

#[derive(Default)]
struct Times {
    sorted: Vec<Duration>,
    failed: usize,
}

impl Times {
    fn at(&self, percent: usize) -> Duration {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted.get(last * percent / 100).copied().unwrap_or_default()
    }

    fn count(&self) -> usize {
        self.sorted.len()
    }

    fn and(mut self, other: Self) -> Self {
        self.sorted.extend(other.sorted);
        self.sorted.sort();
        self.failed += other.failed;
        self
    }
}

fn percent(of: Duration, to: Duration) -> u128 {
    (of.as_micros() * 100)
        .checked_div(to.as_micros())
        .unwrap_or(u128::MAX)
}

/// From a thread of their own: what the attackers cost in this program is not what the gateway makes the others wait.
async fn others(world: &World, lasts: Duration) -> Result<Times> {
    let url = format!(
        "{}/v1/products/{}",
        world.gateway,
        world.thing("product_id").unwrap_or_default()
    );
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("others".to_owned())
        .spawn(move || {
            // The receiver is gone only when all of it is being given up.
            drop(sender.send(on_this_thread(&url, lasts)));
        })
        .context("start the others' thread")?;
    receiver.await.context("the others' thread ended")?
}

fn on_this_thread(url: &str, lasts: Duration) -> Result<Times> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the others' runtime")?;
    runtime.block_on(async {
        let clients = (0..OTHERS).map(|number| shop(url, number, lasts));
        let outcomes = futures::future::try_join_all(clients).await?;
        Ok(outcomes.into_iter().fold(Times::default(), Times::and))
    })
}

async fn shop(url: &str, number: u8, lasts: Duration) -> Result<Times> {
    let http = client([21, number + 1])?;
    let until = Instant::now() + lasts;
    let (mut sorted, mut failed) = (Vec::new(), 0);
    while Instant::now() < until {
        let began = Instant::now();
        let good = match http.get(url).send().await {
            Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
            Err(_) => false,
        };
        sorted.push(began.elapsed());
        failed += usize::from(!good);
        tokio::time::sleep(PAUSE).await;
    }
    sorted.sort();
    Ok(Times { sorted, failed })
}
