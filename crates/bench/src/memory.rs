//! How large processes get. Only Linux says it; elsewhere nothing is shown.

use std::fs;

/// The most memory that the process has ever had resident, in KiB.
pub fn peak_kib(pid: u32) -> Option<u64> {
    high_water(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// What it has now, in KiB.
pub fn resident_kib(pid: u32) -> Option<u64> {
    field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// What it has now of its own, without the files that it has mapped, in KiB.
pub fn own_kib(pid: u32) -> Option<u64> {
    field(
        &fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        "RssAnon:",
    )
}

fn high_water(status: &str) -> Option<u64> {
    field(status, "VmHWM:")
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read_and_nothing_else() {
        let status = "Name:\ta\nVmPeak:\t  900 kB\nVmHWM:\t   42 kB\nVmRSS:\t   7 kB\n";
        assert_eq!(high_water(status), Some(42));
        assert_eq!(high_water("Name:\ta\n"), None);
    }
}
