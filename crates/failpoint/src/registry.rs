//! Which plans are set, and what was met.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{Action, COMPILED_IN, Fault, InvalidPlan, Pass, Plan, Point, Site};

/// The plans of one process, or of one application among several in a test's process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Failpoints {
    points: Arc<Mutex<Points>>,
}

#[derive(Debug)]
struct Points {
    states: BTreeMap<Point, State>,
    chance: ChaCha8Rng,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<Plan>,
    reached: u64,
    fired: u64,
}

/// What was seen of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub point: Point,
    /// How often the code came by since the process began.
    pub reached: u64,
    /// How often something was made to go wrong.
    pub fired: u64,
}

static PROCESS: LazyLock<Failpoints> = LazyLock::new(|| {
    let failpoints = Failpoints::seeded(
        variable("FAILPOINTS_SEED")
            .and_then(|seed| seed.parse().ok())
            .unwrap_or(0),
    );
    if let Some(text) = variable("FAILPOINTS")
        && let Err(error) = failpoints.arm_text(&text)
    {
        // Whoever sets failpoints wants to know that there are none.
        tracing::error!(%error, "FAILPOINTS");
    }
    failpoints
});

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}

impl Failpoints {
    /// Those of this process.
    pub fn of_process() -> Self {
        PROCESS.clone()
    }

    /// Some of their own, for one of several applications in one process.
    pub fn seeded(seed: u64) -> Self {
        Self {
            points: Arc::new(Mutex::new(Points {
                states: BTreeMap::new(),
                chance: ChaCha8Rng::seed_from_u64(seed),
            })),
        }
    }

    fn points(&self) -> MutexGuard<'_, Points> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a plan in place of the point's earlier one.
    pub fn arm(&self, plan: Plan) {
        self.points().states.entry(plan.point).or_default().plan = Some(plan);
    }

    /// Sets the plans of a text; none of them if one is not understood.
    pub fn arm_text(&self, text: &str) -> Result<usize, InvalidPlan> {
        let plans = Plan::parse_all(text)?;
        let count = plans.len();
        for plan in plans {
            self.arm(plan);
        }
        Ok(count)
    }

    /// Nothing goes wrong any more; the counts stay.
    pub fn disarm(&self) {
        for state in self.points().states.values_mut() {
            state.plan = None;
        }
    }

    /// Whether something is still to go wrong at the point.
    pub fn is_armed(&self, point: Point) -> bool {
        self.points()
            .states
            .get(&point)
            .is_some_and(|state| state.plan.is_some())
    }

    pub fn seen(&self) -> Vec<Seen> {
        let points = self.points();
        let seen = points.states.iter().map(|(point, state)| Seen {
            point: *point,
            reached: state.reached,
            fired: state.fired,
        });
        seen.collect()
    }

    /// How often the point did something.
    pub fn fired(&self, point: Point) -> u64 {
        self.points().states.get(&point).map_or(0, |state| state.fired)
    }

    /// Does what the plan of the point says, if there is one.
    pub async fn reach(&self, point: Point) -> Result<Pass, Fault> {
        if !COMPILED_IN {
            return Ok(Pass::Once);
        }
        let Some(action) = self.draw(point) else {
            return Ok(Pass::Once);
        };
        tracing::warn!(failpoint.point = %point, failpoint.action = %action, "a failpoint fires");
        let fault = |is_death| Fault { point, is_death };
        match action {
            Action::Error => Err(fault(false)),
            Action::Stop => Err(fault(true)),
            Action::Twice => Ok(Pass::Twice),
            Action::Delay(delay) => {
                tokio::time::sleep(delay).await;
                Ok(Pass::Once)
            }
            Action::Kill => die(),
        }
    }

    fn draw(&self, point: Point) -> Option<Action> {
        let mut points = self.points();
        let Points { states, chance } = &mut *points;
        let state = states.entry(point).or_default();
        state.reached += 1;
        let plan = state.plan.as_mut()?;
        if plan.permille < 1_000 && chance.random_range(0..1_000) >= plan.permille {
            return None;
        }
        let action = plan.action;
        if let Some(times) = &mut plan.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                state.plan = None;
            }
        }
        state.fired += 1;
        Some(action)
    }

    /// Executes the step, unless the points before and after it say otherwise.
    ///
    /// Of a step that is executed twice any success is a success; the later one counts.
    pub async fn around<T, E, F, Fut>(&self, site: Site, step: F) -> Result<T, E>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Fault>,
    {
        if !COMPILED_IN {
            return step().await;
        }
        let outcome = match self.reach(site.before()).await? {
            Pass::Once => step().await,
            Pass::Twice => {
                let (one, other) = tokio::join!(step(), step());
                other.or(one)
            }
        };
        match self.reach(site.after()).await? {
            Pass::Once => outcome,
            Pass::Twice => step().await.or(outcome),
        }
    }
}

/// [`Failpoints::reach`] of this process.
pub async fn reach(point: Point) -> Result<Pass, Fault> {
    if !COMPILED_IN {
        return Ok(Pass::Once);
    }
    PROCESS.reach(point).await
}

/// [`Failpoints::around`] of this process.
pub async fn around<T, E, F, Fut>(site: Site, step: F) -> Result<T, E>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: From<Fault>,
{
    if !COMPILED_IN {
        return step().await;
    }
    PROCESS.around(site, step).await
}

/// Nothing is tidied up, no buffer is written, no peer is told.
fn die() -> ! {
    // It cannot fail for oneself; if it does, aborting is as sudden.
    kill(Pid::this(), Signal::SIGKILL).ok();
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    const SITE: Site = Site::OrderReserve;

    async fn executed(plan: Option<Plan>) -> (u32, Result<u32, Fault>) {
        let failpoints = Failpoints::seeded(1);
        if let Some(plan) = plan {
            failpoints.arm(plan);
        }
        let count = AtomicU32::new(0);
        let step = || async { Ok(count.fetch_add(1, Ordering::SeqCst) + 1) };
        let outcome = failpoints.around(SITE, step).await;
        (count.load(Ordering::SeqCst), outcome)
    }

    #[tokio::test]
    async fn a_point_without_a_plan_does_nothing() {
        assert_eq!(executed(None).await, (1, Ok(1)));
    }

    #[tokio::test]
    async fn an_error_before_the_step_prevents_it_and_after_it_loses_its_outcome() {
        for (point, done) in [(SITE.before(), 0), (SITE.after(), 1)] {
            let fault = Fault {
                point,
                is_death: false,
            };
            assert_eq!(
                executed(Some(Plan::once(point, Action::Error))).await,
                (done, Err(fault))
            );
        }
    }

    #[tokio::test]
    async fn twice_executes_the_step_twice() {
        for point in [SITE.before(), SITE.after()] {
            assert_eq!(
                executed(Some(Plan::once(point, Action::Twice))).await,
                (2, Ok(2)),
                "{point}"
            );
        }
    }

    #[tokio::test]
    async fn a_delay_delays() {
        let began = std::time::Instant::now();
        let delay = Duration::from_millis(20);
        let plan = Plan::once(SITE.before(), Action::Delay(delay));
        assert_eq!(executed(Some(plan)).await, (1, Ok(1)));
        assert!(began.elapsed() >= delay);
    }

    #[tokio::test]
    async fn a_plan_ends_after_its_times() {
        let failpoints = Failpoints::seeded(1);
        failpoints.arm_text("order.reserve.before=error*2").unwrap();
        let mut failures = 0;
        for _ in 0..5 {
            failures += u32::from(failpoints.reach(SITE.before()).await.is_err());
        }
        assert_eq!(failures, 2);
        let seen = failpoints.seen();
        assert_eq!((seen[0].reached, seen[0].fired), (5, 2));
    }

    #[tokio::test]
    async fn chance_is_what_the_seed_makes_it() {
        let mut histories = Vec::new();
        for seed in [7, 7, 8] {
            let failpoints = Failpoints::seeded(seed);
            failpoints
                .arm_text("order.reserve.before=error*always%50")
                .unwrap();
            let mut history = Vec::new();
            for _ in 0..2_000 {
                history.push(failpoints.reach(SITE.before()).await.is_err());
            }
            let fired = history.iter().filter(|fired| **fired).count();
            assert!((50..=150).contains(&fired), "{fired} of 2000");
            histories.push(history);
        }
        assert_eq!(histories[0], histories[1]);
        assert_ne!(histories[0], histories[2]);
    }

    #[tokio::test]
    async fn a_text_that_is_not_understood_sets_nothing() {
        let failpoints = Failpoints::seeded(1);
        failpoints
            .arm_text("order.reserve.before=error; order.reserve.after=nothing")
            .unwrap_err();
        assert_eq!(failpoints.reach(SITE.before()).await, Ok(Pass::Once));
        failpoints.arm_text("order.reserve.before=error").unwrap();
        failpoints.disarm();
        assert_eq!(failpoints.reach(SITE.before()).await, Ok(Pass::Once));
    }
}
