//! Closed loops: so many clients, each with one request under way.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use ferrocart_types::{IdGen as _, SystemIds};
use tokio::task::LocalSet;
use uuid::Uuid;

use crate::alarm::Alarm;
use crate::stats::{Summary, Tally, Window};
use crate::wire::{Connection, Template};
use crate::zipf::Zipf;

/// How long the last answers may take after the window has closed.
const TAIL: Duration = Duration::from_secs(20);

/// How long a connection may have been open before its first request.
const SILENT_MAX: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub clients: usize,
    pub warm_up: Duration,
    pub lasts: Duration,
}

impl Shape {
    /// How often each client asks when all of them together ask so often a second.
    pub fn every(&self, per_second: u64) -> Duration {
        let clients = u32::try_from(self.clients).unwrap_or(u32::MAX);
        Duration::from_secs(1) * clients / u32::try_from(per_second.max(1)).unwrap_or(u32::MAX)
    }
}

/// SKUs whose ids follow one another: which ones they are need not be written down.
#[derive(Debug, Clone, Copy)]
pub struct Skus {
    first: Uuid,
    count: u32,
}

/// More than any set has; its bits are clear in the first id, so that counting on never overflows.
const SKUS_MAX: u128 = 1 << 20;

impl Skus {
    pub fn one() -> Self {
        Self::new(1)
    }

    pub fn new(count: u32) -> Self {
        let first = Uuid::from_u128(SystemIds.next().as_u128() & !(SKUS_MAX - 1));
        Self { first, count }
    }

    pub fn starting_at(first: Uuid, count: u32) -> Self {
        Self { first, count }
    }

    pub fn first(&self) -> Uuid {
        self.first
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn all(&self) -> Vec<Uuid> {
        (0..self.count).map(|index| self.at(index)).collect()
    }

    /// Any of them, by the last bits of the order's id, which are random.
    pub fn of_order(&self, order: Uuid) -> Uuid {
        let random = u32::try_from(order.as_u128() & 0xffff_ffff).unwrap_or_default();
        self.at(random.checked_rem(self.count).unwrap_or_default())
    }

    fn at(&self, index: u32) -> Uuid {
        Uuid::from_u128(self.first.as_u128() + u128::from(index))
    }
}

/// Which ids the requests carry.
#[derive(Debug, Clone)]
pub enum Ids {
    /// A new order for one of these SKUs.
    Orders(Skus),
    /// These, each once.
    Given(Arc<Vec<Uuid>>),
    /// These, again and again.
    InTurn(Arc<Vec<Uuid>>),
    /// Some far more often than others.
    Zipf(Zipf),
}

impl Ids {
    /// For the request of that number.
    fn of(&self, number: u64) -> Result<[Uuid; 2]> {
        Ok(match self {
            Self::Orders(skus) => {
                let order = SystemIds.next();
                [order, skus.of_order(order)]
            }
            Self::Given(ids) => {
                let index = usize::try_from(number).context("a number of a request")?;
                [ids.get(index).copied().context("more requests than ids")?; 2]
            }
            Self::InTurn(ids) => [*in_turn(ids, number)?; 2],
            Self::Zipf(zipf) => [zipf.pick(number)?; 2],
        })
    }
}

/// What the requests of a load are.
#[derive(Debug, Clone)]
pub enum Requests {
    /// One, with ids of its own each time.
    Made(Template, Ids),
    /// These, as they are, again and again.
    InTurn(Arc<Vec<Vec<u8>>>),
}

impl Requests {
    fn of(&mut self, number: u64) -> Result<(&[u8], [Uuid; 2])> {
        match self {
            Self::Made(template, ids) => {
                let ids = ids.of(number)?;
                Ok((template.with(&ids), ids))
            }
            Self::InTurn(requests) => Ok((in_turn(requests, number)?, [Uuid::nil(); 2])),
        }
    }
}

fn in_turn<T>(of: &[T], number: u64) -> Result<&T> {
    let count = u64::try_from(of.len()).context("a count")?;
    let index = number.checked_rem(count).context("nothing to take in turns")?;
    of.get(usize::try_from(index).context("an index")?)
        .context("an index past the end")
}

/// A load over HTTP, from one thread of its own.
#[derive(Clone)]
pub struct HttpLoad {
    pub shape: Shape,
    /// The clients take them in turns.
    pub targets: Vec<SocketAddr>,
    pub requests: Requests,
    /// The status that counts.
    pub wanted: u16,
    /// Ends the load after so many requests, if it is not over before.
    pub requests_max: u64,
    /// Whether the reservations are wanted as well.
    pub keep: bool,
    /// How often each client asks, instead of as soon as it has its answer. Then an answer's time counts from
    /// when the request was due, so that one slow answer is not followed by a pause that nobody sees.
    pub every: Option<Duration>,
}

/// A reservation that was granted: its order, its id.
pub type Kept = (Uuid, Uuid);

/// What a load over HTTP came to.
pub struct Driven {
    pub summary: Summary,
    pub kept: Vec<Kept>,
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
        let targets = || self.targets.iter().cycle().take(self.shape.clients);
        for target in targets() {
            connections.push(Connection::open(*target).await?);
        }
        // Servers give up on those that say nothing; on a busy machine a crowd takes a while to connect.
        for (connection, target) in connections.iter_mut().zip(targets()) {
            if connection.opened.elapsed() > SILENT_MAX {
                *connection = Connection::open(*target).await?;
            }
        }
        let window = Window::from_now(self.shape.warm_up, self.shape.lasts);
        let began = Instant::now();
        let left = Rc::new(Cell::new(self.requests_max));
        let clients: Vec<_> = connections
            .into_iter()
            .zip(0_u32..)
            .map(|(connection, number)| {
                let crowd = u32::try_from(self.shape.clients).unwrap_or(u32::MAX).max(1);
                let client = Client {
                    // One after the other, not all at once.
                    pace: match self.every {
                        Some(every) => Some(Pace {
                            due: began + every * number / crowd,
                            every,
                            alarm: Alarm::new()?,
                        }),
                        None => None,
                    },
                    connection,
                    requests: self.requests.clone(),
                    keep: self.keep.then_some(self.wanted),
                    tally: Tally::default(),
                    kept: Vec::new(),
                };
                Ok(tokio::task::spawn_local(client.run(window, Rc::clone(&left))))
            })
            .collect::<Result<_>>()?;
        let mut tally = Tally::default();
        let mut kept = Vec::new();
        for client in clients {
            let client = client.await.context("a client panicked")??;
            tally.add(client.tally);
            kept.extend(client.kept);
        }
        let counted = if window.is_over() {
            self.shape.lasts
        } else {
            began.elapsed()
        };
        Ok(Driven {
            summary: tally.sum_up(self.wanted, counted),
            kept,
        })
    }
}

/// When a client asks.
struct Pace {
    /// The next time.
    due: Instant,
    /// How much later the time after it.
    every: Duration,
    alarm: Alarm,
}

struct Client {
    pace: Option<Pace>,
    connection: Connection,
    requests: Requests,
    /// The status whose reservations are kept.
    keep: Option<u16>,
    tally: Tally,
    kept: Vec<Kept>,
}

impl Client {
    async fn run(mut self, window: Window, left: Rc<Cell<u64>>) -> Result<Self> {
        while !window.is_over() {
            let Some(number) = left.get().checked_sub(1) else {
                break;
            };
            left.set(number);
            let (request, ids) = self.requests.of(number)?;
            let began = match &mut self.pace {
                Some(pace) => {
                    let began = pace.due;
                    pace.due += pace.every;
                    pace.alarm.wait_until(began).await?;
                    began
                }
                None => Instant::now(),
            };
            let status = self.connection.exchange(request).await?;
            self.tally.record(&window, began, status);
            if self.keep == Some(status) {
                self.kept
                    .push((ids[0], reservation_in(self.connection.received())?));
            }
        }
        Ok(self)
    }
}

/// The `reservation_id` of an answer.
pub fn reservation_in(answer: &[u8]) -> Result<Uuid> {
    const BEFORE: &str = "\"reservation_id\":\"";
    let text = std::str::from_utf8(answer).context("an answer")?;
    let (_, rest) = text
        .split_once(BEFORE)
        .context("an answer without a reservation")?;
    let (id, _) = rest.split_once('"').context("an answer without a reservation")?;
    id.parse().context("a reservation's id")
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn orders_spread_over_all_skus_of_a_set() {
        let skus = Skus::new(10);
        let all: BTreeSet<Uuid> = skus.all().into_iter().collect();
        assert_eq!(all.len(), 10);
        let hit: BTreeSet<Uuid> = (0..1000).map(|_| skus.of_order(SystemIds.next())).collect();
        assert_eq!(hit, all);
        let one = Skus::one();
        assert_eq!(one.of_order(SystemIds.next()), one.first());
    }

    #[test]
    fn the_reservation_is_found_in_an_answer() {
        let id = Uuid::from_u128(7);
        let answer =
            format!("HTTP/1.1 201 Created\r\n\r\n{{\"order_id\":\"x\",\"reservation_id\":\"{id}\"}}");
        assert_eq!(reservation_in(answer.as_bytes()).unwrap(), id);
        assert!(reservation_in(b"HTTP/1.1 201 Created\r\n\r\n{}").is_err());
    }
}
