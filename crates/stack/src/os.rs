//! What the operating system knows of a process: whether it lives, whether it is still the one that we
//! started, and who its children are.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One row of the process table.
#[derive(Clone, Debug)]
struct Entry {
    pid: i32,
    parent: i32,
    /// Exited, and waiting to be collected by its parent.
    zombie: bool,
    /// When it started, in the operating system's own notation.
    started: String,
}

/// A process id is recycled; together with the boot and the time of its start it names one process for ever.
/// `None` when no such process lives.
pub(crate) fn identity(pid: i32) -> Option<String> {
    let entry = if has_procfs() {
        read_stat(pid)
    } else {
        ps().into_iter().find(|entry| entry.pid == pid)
    }?;
    (!entry.zombie).then(|| format!("{}{}", boot(), entry.started))
}

/// The process and all its descendants, parents before children.
pub(crate) fn family(pid: i32) -> Vec<i32> {
    let table = if has_procfs() { procfs() } else { ps() };
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        next += 1;
        for entry in &table {
            if entry.parent == parent && !family.contains(&entry.pid) {
                family.push(entry.pid);
            }
        }
    }
    family
}

/// Sends a signal; a process that is already gone is no error.
pub(crate) fn signal(pid: i32, signal: Signal) -> std::io::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Signals the process and its descendants, the process itself first: a parent that is stopped or dead makes
/// no new children. (PostgreSQL gives every backend a session of its own, so a process group does not do.)
pub(crate) fn signal_family(pid: i32, what: Signal) -> std::io::Result<Vec<i32>> {
    let before = family(pid);
    signal(pid, what)?;
    let mut all = family(pid);
    for member in before {
        if !all.contains(&member) {
            all.push(member);
        }
    }
    for member in all.iter().filter(|member| **member != pid) {
        signal(*member, what)?;
    }
    Ok(all)
}

fn has_procfs() -> bool {
    Path::new("/proc/self/stat").exists()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| format!("{}:", id.trim()))
        .unwrap_or_default()
}

fn procfs() -> Vec<Entry> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    folder
        .filter_map(|item| item.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(read_stat)
        .collect()
}

fn read_stat(pid: i32) -> Option<Entry> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(pid: i32, line: &str) -> Option<Entry> {
    // The second field is the program's name in parentheses, and may itself contain spaces and parentheses.
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Of a process that is killed the first thread may end before the others, which hold its ports and files still.
    let threads: u32 = fields.get(17)?.parse().ok()?;
    Some(Entry {
        pid,
        zombie: matches!(*fields.first()?, "Z" | "X") && threads <= 1,
        parent: fields.get(1)?.parse().ok()?,
        started: (*fields.get(19)?).to_owned(),
    })
}

/// For systems without `/proc`.
fn ps() -> Vec<Entry> {
    let Ok(output) = Command::new("ps")
        .args(["-axo", "pid=,ppid=,stat=,lstart="])
        .output()
    else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(parse_ps)
        .collect()
}

fn parse_ps(line: &str) -> Option<Entry> {
    let mut fields = line.split_whitespace();
    Some(Entry {
        pid: fields.next()?.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        zombie: fields.next()?.starts_with('Z'),
        started: fields.collect::<Vec<_>>().join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_pid() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let filler: Vec<String> = (5..=21).map(|field| field.to_string()).collect();
        let line = format!("17 (a) b) (c) S 1 {} 4711 23", filler.join(" "));
        let entry = parse_stat(17, &line).unwrap();
        assert_eq!(
            (entry.parent, entry.zombie, entry.started.as_str()),
            (1, false, "4711")
        );
    }

    #[test]
    fn a_process_is_gone_with_its_last_thread() {
        let entry = |threads: u32| {
            let filler: Vec<String> = (5..=19).map(|field| field.to_string()).collect();
            let line = format!("17 (a) Z 1 {} {threads} 0 4711 23", filler.join(" "));
            parse_stat(17, &line).unwrap()
        };
        assert!(entry(1).zombie && entry(0).zombie);
        assert!(!entry(2).zombie);
        assert_eq!(entry(2).started, "4711");
    }

    #[test]
    fn a_process_keeps_its_identity_and_a_dead_one_has_none() {
        assert!(identity(own_pid()).is_some());
        assert_eq!(identity(own_pid()), identity(own_pid()));
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(identity(pid).is_some());
        assert!(family(own_pid()).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(identity(pid), None);
    }

    #[test]
    fn ps_tells_the_same_parents_as_procfs() {
        let row = ps()
            .into_iter()
            .find(|entry| entry.pid == own_pid())
            .expect("ps lists this test");
        assert_eq!(row.parent, read_stat(own_pid()).unwrap().parent);
        assert!(!row.started.is_empty());
    }
}
