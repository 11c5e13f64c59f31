use crate::inventory::{Bench, Contestant};
use crate::probe::{self, Limits};
use crate::report::{Aim, Figure};
use crate::stats::Summary;

impl Bench {
    fn values(&self, contestant: Contestant, pick: fn(&Summary) -> u64) -> Vec<u64> {
        let samples = self.samples.get(&contestant).map_or(&[][..], Vec::as_slice);
        samples.iter().map(|sample| pick(&sample.summary)).collect()
    }

    fn figure(&self, name: &str, contestant: Contestant) -> Figure {
        let samples = self.samples.get(&contestant).map_or(&[][..], Vec::as_slice);
        let limits: Vec<Limits> = samples.iter().map(|sample| sample.limits.clone()).collect();
        Figure::new(name, "/s", self.values(contestant, rate)).limited_by(probe::mean(&limits))
    }

    pub(super) fn figures(&self) -> Vec<Figure> {
        use Contestant::{Core, Echo, Http, HttpAlone, Inserts, Naive, NaiveHttp, NaiveHttpAlone, SellOut};
        let rate = |contestant| self.values(contestant, rate);
        let p99 = |contestant| self.values(contestant, |summary| summary.p99_us);
        let p50 = |contestant| self.values(contestant, |summary| summary.p50_us);
        let again = |name: &str, contestant| Figure::new(name, "/s", rate(contestant));
        let mut figures = vec![
            self.figure("bare actix-web echo, HTTP", Echo),
            self.figure("naive, HTTP", NaiveHttp),
            self.figure("reserve, HTTP", Http).against(
                "naive, HTTP",
                &rate(NaiveHttp),
                Some(Aim::AtLeast(25_000)),
            ),
            again("reserve, HTTP", Http).against("echo", &rate(Echo), Some(Aim::AtLeast(400))),
            Figure::new("naive, HTTP: p99", " µs", p99(NaiveHttp)),
            Figure::new("reserve, HTTP: p99", " µs", p99(Http)).against(
                "naive, HTTP: p99",
                &p99(NaiveHttp),
                Some(Aim::AtMost(100)),
            ),
            self.figure("naive, in process", Naive),
            self.figure("bare batched inserts, in process", Inserts),
            self.figure("reserve, in process", Core).against(
                "naive, in process",
                &rate(Naive),
                Some(Aim::AtLeast(40_000)),
            ),
            again("reserve, in process", Core).against(
                "bare inserts",
                &rate(Inserts),
                Some(Aim::AtLeast(600)),
            ),
            self.figure("refusals of a sell-out, HTTP", SellOut).against(
                "echo",
                &rate(Echo),
                Some(Aim::AtLeast(700)),
            ),
            Figure::new("naive, HTTP, one client: p50", " µs", p50(NaiveHttpAlone)),
            Figure::new("reserve, HTTP, one client: p50", " µs", p50(HttpAlone)).against(
                "naive, HTTP, one client: p50",
                &p50(NaiveHttpAlone),
                None,
            ),
        ];
        // A relay that keeps up leaves nothing to be timed.
        if !self.drained.is_empty() {
            figures.push(Figure::new(
                "events published after a load",
                "/s",
                self.drained.clone(),
            ));
        }
        figures
    }
}

fn rate(summary: &Summary) -> u64 {
    summary.per_second
}
