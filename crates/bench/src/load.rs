//! Closed loops: so many clients, each with one request under way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use ferrocart_types::{IdGen as _, SystemIds};
use tokio::task::LocalSet;
use uuid::Uuid;

use crate::cpu;
use crate::stats::{Summary, Tally, Window};
use crate::wire::{Connection, Template};

/// How long the last answers may take after the window has closed.
const TAIL: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub clients: usize,
    pub warm_up: Duration,
    pub lasts: Duration,
}

/// A load over HTTP, from one thread of its own.
#[derive(Clone)]
pub struct HttpLoad {
    pub shape: Shape,
    pub target: SocketAddr,
    pub template: Template,
    /// The status that counts.
    pub wanted: u16,
    /// Ends the load after so many requests, if it is not over before.
    pub requests_max: u64,
}

/// What a load over HTTP came to, and what it cost to make it.
pub struct Driven {
    pub summary: Summary,
    pub generator_cpu: Duration,
    pub lasted: Duration,
}

impl HttpLoad {
    pub async fn drive(self) -> Result<Driven> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("generator".to_owned())
            .spawn(move || {
                // The receiver is gone only when the whole benchmark is being given up.
                drop(sender.send(self.on_this_thread()));
            })
            .context("start the generator's thread")?;
        receiver.await.context("the generator died")?
    }

    fn on_this_thread(self) -> Result<Driven> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the generator's runtime")?;
        LocalSet::new().block_on(&runtime, async {
            let deadline = self.shape.warm_up + self.shape.lasts + TAIL;
            let driven = tokio::time::timeout(deadline, self.run()).await;
            driven.map_err(|_| anyhow!("answers are still due {TAIL:?} after the end"))?
        })
    }

    async fn run(self) -> Result<Driven> {
        let mut connections = Vec::new();
        for _ in 0..self.shape.clients {
            connections.push(Connection::open(self.target).await?);
        }
        let window = Window::from_now(self.shape.warm_up, self.shape.lasts);
        let cpu_before = cpu::of_this_thread();
        let began = Instant::now();
        let left = Arc::new(AtomicU64::new(self.requests_max));
        let clients: Vec<_> = connections
            .into_iter()
            .map(|connection| {
                let client = client(connection, self.template.clone(), window, Arc::clone(&left));
                tokio::task::spawn_local(client)
            })
            .collect();
        let mut tally = Tally::default();
        for client in clients {
            tally.add(client.await.context("a client panicked")??);
        }
        let lasted = began.elapsed();
        let counted = if window.is_over() {
            self.shape.lasts
        } else {
            lasted
        };
        Ok(Driven {
            summary: tally.sum_up(self.wanted, counted),
            generator_cpu: cpu::of_this_thread().saturating_sub(cpu_before),
            lasted,
        })
    }
}

async fn client(
    mut connection: Connection,
    mut template: Template,
    window: Window,
    left: Arc<AtomicU64>,
) -> Result<Tally> {
    let mut tally = Tally::default();
    while !window.is_over() && take_one(&left) {
        let request = template.with_id(SystemIds.next());
        let began = Instant::now();
        let status = connection.exchange(request).await?;
        tally.record(&window, began, status);
    }
    Ok(tally)
}

fn take_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1))
        .is_ok()
}

/// A load on something in this process: `call` answers a status as HTTP would.
pub async fn in_process<F>(shape: Shape, call: impl Fn(Uuid) -> F + Send + Sync + 'static) -> Result<Summary>
where
    F: Future<Output = u16> + Send,
{
    let window = Window::from_now(shape.warm_up, shape.lasts);
    let call = Arc::new(call);
    let clients: Vec<_> = (0..shape.clients)
        .map(|_| {
            let call = Arc::clone(&call);
            ferrocart_telemetry::spawn("bench-client", async move {
                let mut tally = Tally::default();
                while !window.is_over() {
                    let began = Instant::now();
                    let status = call(SystemIds.next()).await;
                    tally.record(&window, began, status);
                }
                tally
            })
        })
        .collect();
    let mut tally = Tally::default();
    for client in clients {
        tally.add(client.await.context("a client panicked")?);
    }
    Ok(tally.sum_up(201, shape.lasts))
}
