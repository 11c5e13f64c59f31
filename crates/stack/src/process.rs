//! Starting and ending one process.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::Signal;
use sha2::{Digest as _, Sha256};

use crate::component::Component;
use crate::layout::write_private;
use crate::os;
use crate::state::ProcessId;
use crate::tools;

/// A log that has grown past this is set aside (one generation) when its process starts.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long a killed process may take to disappear.
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// How long a process of a stack that is thrown away may take to end by itself.
const DISCARD_GRACE: Duration = Duration::from_secs(3);

/// The user that a process runs as, where that is not ours.
#[derive(Clone, Debug)]
pub(crate) struct RunAs {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Whether processes end with the one that started them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// They do: for tests.
    Owned,
    /// They do not: for `make run`.
    Detached,
}

/// How to start a component.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) component: Component,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    pub(crate) run_as: Option<RunAs>,
    /// Settings files, written anew at each start.
    pub(crate) files: Vec<(PathBuf, String)>,
    pub(crate) log: PathBuf,
    pub(crate) port: u16,
}

/// How a component is asked to end, and how long it may take before it is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) signal: Signal,
    pub(crate) grace: Duration,
    /// What it gets when its owner dies, or is in a hurry.
    pub(crate) at_once: Signal,
}

impl Ending {
    pub(crate) fn of(component: Component) -> Self {
        match component {
            // SIGINT is the fast shutdown: sessions are ended, what is committed is written. SIGQUIT is the
            // immediate one, which still gives the shared memory back.
            Component::Postgres => Self {
                signal: Signal::SIGINT,
                grace: Duration::from_secs(30),
                at_once: Signal::SIGQUIT,
            },
            Component::Redis | Component::RedisCart | Component::Kafka => Self {
                signal: Signal::SIGTERM,
                grace: Duration::from_secs(30),
                at_once: Signal::SIGKILL,
            },
            // The services drain for at most 10 s.
            Component::PspSandbox | Component::Service(_) => Self {
                signal: Signal::SIGTERM,
                grace: Duration::from_secs(15),
                at_once: Signal::SIGKILL,
            },
        }
    }
}

impl Launch {
    pub(crate) fn digest(&self) -> Result<String> {
        let metadata =
            fs::metadata(&self.program).with_context(|| format!("find {}", self.program.display()))?;
        let described = format!(
            "{} {:?} {} {:?} {:?} {:?}",
            self.program.display(),
            metadata.modified().ok(),
            metadata.len(),
            self.args,
            self.env,
            self.files
        );
        Ok(hex::encode(Sha256::digest(described)))
    }

    pub(crate) fn spawn(&self, lifetime: Lifetime) -> Result<Running> {
        for (path, content) in &self.files {
            write_private(path, content)?;
        }
        let mut command = self.command(lifetime);
        let log = open_log(&self.log)?;
        let errors = log
            .try_clone()
            .with_context(|| format!("open {}", self.log.display()))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = spawn(command)
            .with_context(|| format!("start {} ({})", self.component, self.program.display()))?;
        let pid = i32::try_from(child.id()).context("a process id past 31 bits")?;
        // One that has died already has no identity; the caller notices that it does not live.
        let identity = os::identity(pid).unwrap_or_default();
        Ok(Running {
            id: ProcessId { pid, identity },
            child: Some(child),
        })
    }

    fn command(&self, lifetime: Lifetime) -> Command {
        let mut command = match lifetime {
            Lifetime::Owned => match tools::find("setpriv") {
                Some(setpriv) => {
                    let mut command = Command::new(setpriv);
                    command
                        .arg("--pdeathsig")
                        .arg(signal_name(Ending::of(self.component).at_once))
                        .arg("--")
                        .arg(&self.program);
                    command.process_group(0);
                    command
                }
                // Without it, orphans stay until the next stack of a test sweeps them.
                None => in_own_group(&self.program),
            },
            Lifetime::Detached => match tools::find("setsid") {
                // Not in a group of its own: setsid would have to fork, and we would hold the wrong process.
                Some(setsid) => {
                    let mut command = Command::new(setsid);
                    command.arg(&self.program);
                    command
                }
                None => in_own_group(&self.program),
            },
        };
        command
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .current_dir(&self.cwd);
        if let Some(run_as) = &self.run_as {
            command.uid(run_as.uid).gid(run_as.gid);
        }
        command
    }
}

fn in_own_group(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.process_group(0);
    command
}

fn signal_name(signal: Signal) -> &'static str {
    let name = signal.as_str();
    name.strip_prefix("SIG").unwrap_or(name)
}

/// The parent's death signal is bound to the *thread* that forked, and the thread of a test ends long before
/// its process does. So all children are forked by one thread that never ends.
static SPAWNER: LazyLock<Sender<(Command, SyncSender<io::Result<Child>>)>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<(Command, SyncSender<io::Result<Child>>)>();
    let work = move || {
        for (mut command, reply) in receiver {
            // Nobody waits for the answer only when the asker's thread has panicked.
            if let Err(lost) = reply.send(command.spawn())
                && let Ok(mut child) = lost.0
            {
                child.kill().ok();
            }
        }
    };
    // If the thread cannot be made, the channel is closed and every `spawn` says so.
    std::thread::Builder::new()
        .name("stack-spawner".to_owned())
        .spawn(work)
        .ok();
    sender
});

fn spawn(command: Command) -> Result<Child> {
    let (reply, answer) = sync_channel(1);
    SPAWNER
        .send((command, reply))
        .map_err(|_| anyhow!("the thread that starts processes is gone"))?;
    let child = answer
        .recv()
        .context("the thread that starts processes is gone")??;
    Ok(child)
}

fn open_log(path: &Path) -> Result<File> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.1"))
            .with_context(|| format!("rotate {}", path.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

/// A process that was started, by us or by an earlier command.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: ProcessId,
    /// Present when this very process started it, and so has to collect it.
    child: Option<Child>,
}

impl Running {
    pub(crate) fn attach(id: ProcessId) -> Self {
        Self { id, child: None }
    }

    /// Lives, and is still the one that was started.
    pub(crate) fn is_alive(&mut self) -> bool {
        if let Some(child) = &mut self.child {
            // Collects it if it has exited; an error here means that it was collected before.
            child.try_wait().ok();
        }
        !self.id.identity.is_empty() && os::identity(self.id.pid).as_deref() == Some(&*self.id.identity)
    }

    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.is_alive() {
            os::signal(self.id.pid, signal).with_context(|| format!("send {signal} to {}", self.id.pid))?;
        }
        Ok(())
    }

    /// Signals it and all its children. Answers who they were.
    pub(crate) fn signal_family(&mut self, signal: Signal) -> Result<Vec<i32>> {
        if !self.is_alive() {
            return Ok(Vec::new());
        }
        os::signal_family(self.id.pid, signal).with_context(|| format!("send {signal} to {}", self.id.pid))
    }

    /// Asks it to end, as its component is asked, and kills it when it does not.
    pub(crate) async fn stop(&mut self, component: Component) -> Result<()> {
        let ending = Ending::of(component);
        self.signal(ending.signal)?;
        // One that is paused gets to see the signal only when it goes on.
        self.signal_family(Signal::SIGCONT)?;
        let deadline = Instant::now() + ending.grace;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return self.kill_now();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Ends it without ceremony, for a stack that is thrown away. Blocks, for at most a few seconds.
    pub(crate) fn discard(&mut self, component: Component) -> Result<()> {
        self.signal(Ending::of(component).at_once)?;
        self.signal_family(Signal::SIGCONT)?;
        let deadline = Instant::now() + DISCARD_GRACE;
        while self.is_alive() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill_now()
    }

    /// Kills it and its children at once and waits until all are gone. Blocks, for at most 10 s.
    pub(crate) fn kill_now(&mut self) -> Result<()> {
        let family = self.signal_family(Signal::SIGKILL)?;
        let members: Vec<(i32, Option<String>)> =
            family.into_iter().map(|pid| (pid, os::identity(pid))).collect();
        let deadline = Instant::now() + KILL_DEADLINE;
        let mut left = members;
        loop {
            let alive = self.is_alive();
            left.retain(|(pid, identity)| identity.is_some() && os::identity(*pid) == *identity);
            if !alive && left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("process {} does not die", self.id.pid);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The last lines of a log, for an error message.
pub(crate) fn log_tail(path: &Path, lines: usize) -> String {
    const TAIL_BYTES: u64 = 16 * 1024;
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let tail = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
    tail.iter()
        .map(|line| format!("  | {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
