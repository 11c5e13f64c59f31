use std::fmt;

/// What was tried, and what came of it.
#[derive(Debug, Default)]
pub struct Report {
    held: usize,
    broken: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    /// An attack that must be held off.
    pub(crate) fn check(&mut self, attack: &str, held: bool, seen: impl fmt::Display) {
        if held {
            self.held += 1;
        } else {
            self.broken.push(format!("{attack}: {seen}"));
        }
    }

    /// A figure for people.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub fn is_clean(&self) -> bool {
        self.broken.is_empty() && self.held > 0
    }

    pub fn broken(&self) -> &[String] {
        &self.broken
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "- {note}")?;
        }
        for broken in &self.broken {
            writeln!(f, "BROKEN {broken}")?;
        }
        write!(f, "{} attacks held off, {} not", self.held, self.broken.len())
    }
}
