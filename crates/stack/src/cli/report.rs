//! Progress on standard error: spinners for a person, plain lines for a log.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ferrocart_stack::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

const NAME_WIDTH: usize = 20;

pub(crate) fn reporter() -> Arc<dyn Progress> {
    if std::io::stderr().is_terminal() {
        Arc::new(Spinners::default())
    } else {
        Arc::new(Plain)
    }
}

fn line(step: &str, result: &str, took: Duration) -> String {
    if took.is_zero() {
        return format!("  {step:<NAME_WIDTH$} {result}");
    }
    format!("  {step:<NAME_WIDTH$} {result} ({})", readable(took))
}

pub(crate) fn readable(took: Duration) -> String {
    let (seconds, millis) = (took.as_secs(), took.subsec_millis());
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{} s", millis / 100),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

struct Plain;

impl Progress for Plain {
    fn begin(&self, step: &str) {
        eprintln!("  {step:<NAME_WIDTH$} ...");
    }

    fn advance(&self, step: &str, what: &str, done: usize, total: usize) {
        // A line for each tenth.
        let tenth = |count: usize| count.saturating_mul(10) / total.max(1);
        if done == total || tenth(done) != tenth(done.saturating_sub(1)) {
            eprintln!("  {step:<NAME_WIDTH$} {what}: {done} of {total}");
        }
    }

    fn end(&self, step: &str, result: &str, took: Duration) {
        eprintln!("{}", line(step, result, took));
    }

    fn note(&self, text: &str) {
        eprintln!("  {text}");
    }
}

#[derive(Default)]
struct Spinners {
    all: MultiProgress,
    open: Mutex<HashMap<String, ProgressBar>>,
}

impl Progress for Spinners {
    fn begin(&self, step: &str) {
        let bar = self.all.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(format!("{step:<NAME_WIDTH$}"));
        bar.enable_steady_tick(Duration::from_millis(120));
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(step.to_owned(), bar);
    }

    fn advance(&self, step: &str, what: &str, done: usize, total: usize) {
        if let Some(bar) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(step) {
            bar.set_message(format!("{step:<NAME_WIDTH$} {what}: {done} of {total}"));
        }
    }

    fn end(&self, step: &str, result: &str, took: Duration) {
        if let Some(bar) = self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(step)
        {
            bar.finish_and_clear();
        }
        self.say(&line(step, result, took));
    }

    fn note(&self, text: &str) {
        self.say(&format!("  {text}"));
    }
}

impl Spinners {
    fn say(&self, text: &str) {
        // When the terminal is gone there is nobody to tell.
        self.all.println(text).ok();
    }
}
