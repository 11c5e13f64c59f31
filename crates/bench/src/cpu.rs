//! Whose the processors were: the time that processes and threads have used, as Linux tells it.
//! Elsewhere it is not known, and nothing is shown.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Linux counts in ticks of 10 ms, whatever its timer does.
const TICK: Duration = Duration::from_millis(10);

/// The processor time of each named process and all its children, ended children included.
pub fn of_families(roots: &BTreeMap<String, i32>) -> BTreeMap<String, Duration> {
    let table = processes();
    roots
        .iter()
        .map(|(name, root)| (name.clone(), family(&table, *root)))
        .collect()
}

/// The processor time of this process without its children, and that of its children which have ended.
pub fn of_this_process() -> (Duration, Duration) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |skip: usize| -> Duration {
        let counts = fields(&stat).skip(skip).take(2);
        TICK * counts.filter_map(|field| field.parse::<u32>().ok()).sum()
    };
    (ticks(11), ticks(13))
}

/// The time that all processors together were busy, whoever it was for.
pub fn of_the_machine() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let counts: Vec<u32> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    let busy = [0, 1, 2, 5, 6, 7].map(|at: usize| counts.get(at).copied().unwrap_or(0));
    TICK * busy.iter().sum()
}

struct Process {
    parent: i32,
    used: Duration,
}

fn processes() -> BTreeMap<i32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = fields(&stat).nth(1)?.parse().ok()?;
            Some((
                pid,
                Process {
                    parent,
                    used: used(&stat)?,
                },
            ))
        })
        .collect()
}

fn family(table: &BTreeMap<i32, Process>, root: i32) -> Duration {
    let own = table.get(&root).map_or(Duration::ZERO, |process| process.used);
    let children = table.iter().filter(|(_, process)| process.parent == root);
    own + children.map(|(pid, _)| family(table, *pid)).sum::<Duration>()
}

/// The fields after the command's name, which may hold blanks and brackets.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
}

/// utime, stime, cutime and cstime, fields 14 to 17.
fn used(stat: &str) -> Option<Duration> {
    let ticks: Option<Vec<u32>> = fields(stat)
        .skip(11)
        .take(4)
        .map(|field| field.parse().ok())
        .collect();
    let ticks = ticks.filter(|ticks| ticks.len() == 4)?;
    Some(TICK * ticks.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 3 7 7 0 -1 4194560 1 0 0 0 5 6 1 2 20 0 1 0 9 0 0";
        assert_eq!(used(stat), Some(Duration::from_millis(140)));
        assert_eq!(fields(stat).nth(1), Some("3"));
    }
}
