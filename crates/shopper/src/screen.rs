//! The screen for people: aligned columns, a mark per step, times, colours where they can be seen.

use std::io::Write;
use std::time::Duration;

use crate::report::{Chapter, Failure, Report, Reporter, Step, StepReport};

pub(crate) const TITLE_WIDTH: usize = 34;
const TIME_WIDTH: usize = 11;

/// Writes each step as it ends. A screen that cannot be written to is not an error of the shop, so
/// write errors are kept and told by [`Screen::finish`].
pub struct Screen<W> {
    out: W,
    colours: bool,
    verbose: bool,
    chapter: Option<Chapter>,
    error: Option<std::io::Error>,
}

impl<W: Write> Screen<W> {
    pub fn new(out: W, colours: bool, verbose: bool) -> Self {
        Self {
            out,
            colours,
            verbose,
            chapter: None,
            error: None,
        }
    }

    /// The closing lines.
    pub fn summary(&mut self, report: &Report) {
        let line = format!(
            "{} steps, {} calls, {} in all",
            report.steps.len(),
            report.calls(),
            format_duration(report.duration())
        );
        let mark = self.paint("32;1", "✓");
        self.line(&format!("\n{mark} everything was as it must be: {line}"));
        if let (Some(order_id), Some(trace_id)) = (report.purchase_order_id, &report.purchase_trace_id) {
            self.line(&format!("  purchase: order {order_id}, trace {trace_id}"));
        }
    }

    pub fn finish(mut self) -> std::io::Result<()> {
        self.error.take().map_or_else(|| self.out.flush(), Err)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(&mut self, text: &str) {
        if self.error.is_none() {
            self.error = writeln!(self.out, "{text}").and_then(|()| self.out.flush()).err();
        }
    }

    fn row(&mut self, mark: &str, step: Step, duration: Duration, detail: &str) {
        let title = format!("{:<TITLE_WIDTH$}", step.title());
        let time = self.paint("2", &format!("{:>TIME_WIDTH$}", format_duration(duration)));
        self.line(&format!("  {mark} {title}{time}  {detail}"));
    }

    fn note(&mut self, text: &str) {
        let text = self.paint("2", text);
        self.line(&format!(
            "{:width$}{text}",
            "",
            width = 4 + TITLE_WIDTH + TIME_WIDTH + 2
        ));
    }
}

impl<W: Write> Reporter for Screen<W> {
    fn started(&mut self, step: Step) {
        if self.chapter != Some(step.chapter()) {
            self.chapter = Some(step.chapter());
            let title = self.paint("1", step.chapter().title());
            self.line(&format!("\n{title}"));
        }
    }

    fn finished(&mut self, report: &StepReport) {
        let mark = self.paint("32", "✓");
        self.row(&mark, report.step, report.duration, &report.detail);
        for note in &report.notes {
            self.note(note);
        }
        if self.verbose {
            for call in &report.calls {
                self.note(&call.to_string());
            }
        }
    }

    fn failed(&mut self, failure: &Failure) {
        let mark = self.paint("31;1", "✗");
        self.row(&mark, failure.step, failure.duration, "");
        let text = failure.unmet.to_string();
        for line in text.lines() {
            self.line(&format!("      {line}"));
        }
    }
}

/// `0.8 ms`, `84.2 ms`, `1 204.0 ms`.
pub fn format_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let (millis, tenth) = (micros / 1_000, micros % 1_000 / 100);
    match millis / 1_000 {
        0 => format!("{millis}.{tenth} ms"),
        thousands => format!("{thousands} {:03}.{tenth} ms", millis % 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(colours: bool) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, colours, false);
        for (step, detail) in [(Step::Register, "201"), (Step::LogIn, "200")] {
            screen.started(step);
            screen.finished(&StepReport {
                step,
                detail: detail.to_owned(),
                notes: vec!["a note".to_owned()],
                duration: Duration::from_micros(84_250),
                calls: Vec::new(),
            });
        }
        screen.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_a_chapter_is_named_once() {
        let text = shown(false);
        assert_eq!(text.matches("Arriving").count(), 1);
        let columns: Vec<usize> = text.lines().filter_map(|line| line.find(" 20")).collect();
        assert_eq!(columns.len(), 2, "{text}");
        assert_eq!(columns[0], columns[1], "{text}");
        assert!(text.contains("✓ register") && text.contains("84.2 ms"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn colours_are_shown_only_where_asked_for() {
        assert!(shown(true).contains("\u{1b}[32m✓\u{1b}[0m"));
    }

    #[test]
    fn durations_are_in_milliseconds_with_a_tenth() {
        assert_eq!(format_duration(Duration::from_micros(849)), "0.8 ms");
        assert_eq!(format_duration(Duration::from_millis(1_204)), "1 204.0 ms");
        assert_eq!(format_duration(Duration::from_secs(61)), "61 000.0 ms");
    }
}
