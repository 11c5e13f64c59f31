use super::setup::Kind;
use super::{Bench, Load, Part};
use crate::probe::{self, Limits};
use crate::report::{Aim, Figure};
use crate::stats::{Summary, percentile};

/// How soon a released unit is to be sellable at every replica.
const RELEASED_US: u64 = 100_000;
const MEMORY_MIB: u64 = 200;

impl Bench {
    pub(super) fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        figures.extend(self.rate("bare actix-web echo, HTTP", Load::Echo));
        figures.extend(self.rate("bare actix-web echo, HTTP, 2,000 connections", Load::EchoCrowd));
        for part in &self.options.parts {
            figures.extend(match part {
                Part::Hot => self.hot(),
                Part::Sellout => self.sell_out(),
                Part::Replicas => self.replicas(),
                Part::Spread => self.spread(),
                Part::Redis => self.outage(),
                Part::Growth => self.growth(),
                Part::Moves => self.moves(),
            });
        }
        // A relay that keeps up leaves nothing to be timed.
        if !self.drained.is_empty() {
            let name = "events published after a load";
            figures.push(Figure::new(name, "/s", self.drained.clone()));
        }
        if self.memory_kib > 0 {
            let peak = vec![self.memory_kib.div_ceil(1024)];
            let name = "memory of the service, the most over all loads";
            let figure = Figure::new(name, " MiB", peak);
            figures.push(figure.against("200 MiB", &[MEMORY_MIB], Some(Aim::AtMost(1000))));
        }
        figures
    }

    fn values(&self, load: Load, pick: fn(&Summary) -> u64) -> Vec<u64> {
        let samples = self.samples.get(&load).map_or(&[][..], Vec::as_slice);
        samples.iter().map(|sample| pick(&sample.summary)).collect()
    }

    fn rates(&self, load: Load) -> Vec<u64> {
        self.values(load, |summary| summary.per_second)
    }

    /// Nothing for what was not measured.
    fn rate(&self, name: &str, load: Load) -> Option<Figure> {
        let samples = self.samples.get(&load)?;
        let limits: Vec<Limits> = samples.iter().map(|sample| sample.limits.clone()).collect();
        Some(Figure::new(name, "/s", self.rates(load)).limited_by(probe::mean(&limits)))
    }

    /// The rate of one load beside that of another.
    fn compared(&self, name: &str, load: Load, to: (&str, Load), aim: Option<Aim>) -> Option<Figure> {
        let figure = self.rate(name, load)?;
        Some(figure.against(to.0, &self.rates(to.1), aim))
    }

    /// The same rate beside yet another, without saying again what limits it.
    fn again(&self, name: &str, load: Load, to: (&str, Load), aim: Option<Aim>) -> Option<Figure> {
        let figure = Figure::new(name, "/s", self.rates(load));
        (!figure.values.is_empty()).then(|| figure.against(to.0, &self.rates(to.1), aim))
    }

    fn hot(&self) -> Vec<Figure> {
        let p99 = |load| self.values(load, |summary| summary.p99_us);
        let p50 = |load| self.values(load, |summary| summary.p50_us);
        let naive = ("naive, HTTP", Load::NaiveHttp);
        let echo = ("echo", Load::Echo);
        let at_least = |permille| Some(Aim::AtLeast(permille));
        let mut figures: Vec<Figure> = [
            self.rate("naive, HTTP", Load::NaiveHttp),
            self.compared("reserve, HTTP", Load::Http, naive, at_least(25_000)),
            self.again("reserve, HTTP", Load::Http, echo, at_least(400)),
        ]
        .into_iter()
        .flatten()
        .collect();
        figures.push(Figure::new("naive, HTTP: p99", " µs", p99(Load::NaiveHttp)));
        figures.push(Figure::new("reserve, HTTP: p99", " µs", p99(Load::Http)).against(
            "naive, HTTP: p99",
            &p99(Load::NaiveHttp),
            Some(Aim::AtMost(100)),
        ));
        let naive = ("naive, in process", Load::Naive);
        let inserts = ("bare inserts", Load::Inserts);
        figures.extend(
            [
                self.rate("naive, in process", Load::Naive),
                self.rate("bare batched inserts, in process", Load::Inserts),
                self.compared("reserve, in process", Load::Core, naive, at_least(40_000)),
                self.again("reserve, in process", Load::Core, inserts, at_least(600)),
            ]
            .into_iter()
            .flatten(),
        );
        let alone = p50(Load::NaiveHttpAlone);
        figures.push(Figure::new("naive, HTTP, one client: p50", " µs", alone.clone()));
        let ours = Figure::new("reserve, HTTP, one client: p50", " µs", p50(Load::HttpAlone));
        figures.push(ours.against("naive, HTTP, one client: p50", &alone, None));
        figures
    }

    fn sell_out(&self) -> Vec<Figure> {
        let name = "refusals of a sell-out";
        self.refusals(name, [Load::SellOut, Load::SellOutCrowd, Load::SellOutPreloaded])
    }

    /// By 256 connections, by a crowd, and by a crowd of a SKU that has a counter in Redis.
    fn refusals(&self, name: &str, [few, crowd, preloaded]: [Load; 3]) -> Vec<Figure> {
        let echo = ("echo", Load::Echo);
        let by_crowd = ("echo, 2,000 connections", Load::EchoCrowd);
        let aim = Some(Aim::AtLeast(700));
        [
            self.compared(name, few, echo, aim),
            self.compared(&format!("{name}, 2,000 connections"), crowd, by_crowd, aim),
            self.compared(
                &format!("{name}, 2,000 connections, preloaded"),
                preloaded,
                by_crowd,
                aim,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn replicas(&self) -> Vec<Figure> {
        let loads = [
            Load::TwinSellOut,
            Load::TwinSellOutCrowd,
            Load::TwinSellOutPreloaded,
        ];
        let mut figures = self.refusals("refusals of a sell-out, 2 replicas", loads);
        for (kind, runs) in &self.released_us {
            let name = match kind {
                Kind::Ordinary => "released until sold, 2 replicas",
                Kind::Preloaded => "released until sold, 2 replicas, preloaded",
            };
            let wanted = vec![RELEASED_US; runs.len()];
            for (which, permille) in [("median", 500), ("longest", 1000)] {
                let values = runs.iter().map(|run| {
                    let mut sorted = run.clone();
                    sorted.sort_unstable();
                    percentile(&sorted, permille)
                });
                let figure = Figure::new(&format!("{name}: {which}"), " µs", values.collect());
                figures.push(figure.against("100 ms", &wanted, Some(Aim::AtMost(1000))));
            }
        }
        figures
    }

    fn spread(&self) -> Vec<Figure> {
        let aim = Some(Aim::AtLeast(5_000));
        let over_http = ("naive, HTTP, 10,000 SKUs", Load::SpreadNaiveHttp);
        let in_process = ("naive, in process, 10,000 SKUs", Load::SpreadNaive);
        [
            self.rate(over_http.0, over_http.1),
            self.compared("reserve, HTTP, 10,000 SKUs", Load::SpreadHttp, over_http, aim),
            self.rate(in_process.0, in_process.1),
            self.compared(
                "reserve, in process, 10,000 SKUs",
                Load::SpreadCore,
                in_process,
                aim,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn outage(&self) -> Vec<Figure> {
        let up = ("reserve, HTTP, preloaded, Redis up", Load::RedisUp);
        let aim = Some(Aim::AtLeast(700));
        [
            self.rate(up.0, up.1),
            self.compared(
                "reserve, HTTP, preloaded, Redis hangs",
                Load::RedisPaused,
                up,
                aim,
            ),
            self.compared("reserve, HTTP, preloaded, Redis down", Load::RedisDown, up, aim),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn growth(&self) -> Vec<Figure> {
        let mut sizes = self.growth.iter().flat_map(|databases| databases.keys());
        let Some(first) = sizes.next() else {
            return Vec::new();
        };
        let name = |size: u32| {
            let size = crate::report::grouped(u64::from(size));
            format!("reserve, HTTP, {size} reservations open")
        };
        let smallest = name(*first);
        let mut figures = Vec::from_iter(self.rate(&smallest, Load::Growth(*first)));
        figures.extend(sizes.filter_map(|size| {
            let to = (smallest.as_str(), Load::Growth(*first));
            self.compared(&name(*size), Load::Growth(*size), to, Some(Aim::AtLeast(800)))
        }));
        figures
    }

    fn moves(&self) -> Vec<Figure> {
        let confirm = ("naive confirm, HTTP", Load::NaiveConfirm);
        let release = ("naive release, HTTP", Load::NaiveRelease);
        [
            self.rate(confirm.0, confirm.1),
            self.compared("confirm, HTTP", Load::Confirm, confirm, None),
            self.rate(release.0, release.1),
            self.compared("release, HTTP", Load::Release, release, None),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
