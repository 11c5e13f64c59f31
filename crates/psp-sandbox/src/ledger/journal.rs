//! The append-only file behind the ledger.
//!
//! Callers append under the ledger's lock, which fixes the order, and then wait outside it until
//! the writer's thread has made their bytes durable. The thread writes all that came together
//! while its last `fdatasync` ran, so many requests share one.

use anyhow::{Context as _, bail};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Beyond this the disk does not keep up and requests are refused.
const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A process that was just killed may hold its lock a moment longer.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Where a text lies in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("the ledger's journal is full")]
    Full,
    #[error("the ledger's disk does not keep up")]
    Behind,
    #[error("the ledger's journal could not be written")]
    Broken,
    #[error("the ledger's journal could not be read")]
    Unreadable,
}

#[derive(Debug)]
struct Pending {
    bytes: Vec<u8>,
    /// The file's length once `bytes` are written.
    end: u64,
    closed: bool,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    Durable(u64),
    Broken,
}

#[derive(Debug)]
struct Shared {
    file: File,
    pending: Mutex<Pending>,
    wake: Condvar,
    progress: watch::Sender<Progress>,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The file does not grow beyond this.
    pub(crate) bytes_max: u64,
    /// Plays a slower disk: waited before every write.
    pub(crate) disk_latency: Duration,
}

#[derive(Debug)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the file for this process alone.
pub(crate) fn open(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("open the journal {}", path.display()))?;
    let deadline = Instant::now() + LOCK_WAIT;
    while let Err(error) = file.try_lock() {
        if Instant::now() >= deadline {
            bail!("another sandbox uses {}: {error}", path.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    if let Some(dir) = path.parent() {
        // The file's name is durable only with its directory.
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .with_context(|| format!("sync the folder {}", dir.display()))?;
    }
    Ok(file)
}

impl Journal {
    /// Goes on at `end`, the end of the last whole transaction; a torn one behind it is cut off.
    pub(crate) fn start(file: File, end: u64, limits: Limits) -> anyhow::Result<Self> {
        file.set_len(end).context("cut off the journal's torn end")?;
        file.sync_all().context("sync the journal")?;
        let shared = Arc::new(Shared {
            file,
            pending: Mutex::new(Pending {
                bytes: Vec::new(),
                end,
                closed: false,
            }),
            wake: Condvar::new(),
            progress: watch::Sender::new(Progress::Durable(end)),
            limits,
        });
        let for_thread = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("psp-journal".to_owned())
            .spawn(move || for_thread.run())
            .context("start the journal's thread")?;
        Ok(Self {
            shared,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Answers where the bytes begin and end. They are durable when [`Journal::durable`] says so.
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<(u64, u64), JournalError> {
        let mut pending = lock(&self.shared.pending);
        let len = u64::try_from(bytes.len()).map_err(|_| JournalError::Full)?;
        if pending.closed {
            return Err(JournalError::Broken);
        }
        if pending.end + len > self.shared.limits.bytes_max {
            return Err(JournalError::Full);
        }
        if pending.bytes.len() + bytes.len() > PENDING_BYTES_MAX {
            return Err(JournalError::Behind);
        }
        let start = pending.end;
        pending.bytes.extend_from_slice(bytes);
        pending.end += len;
        let end = pending.end;
        drop(pending);
        self.shared.wake.notify_one();
        Ok((start, end))
    }

    /// The end of what was appended so far.
    pub(crate) fn end(&self) -> u64 {
        lock(&self.shared.pending).end
    }

    /// Waits until everything before `end` is on disk. Ends with the disk's own deadline.
    pub(crate) async fn durable(&self, end: u64) -> Result<(), JournalError> {
        let mut progress = self.shared.progress.subscribe();
        let reached = progress
            .wait_for(|progress| match progress {
                Progress::Durable(at) => *at >= end,
                Progress::Broken => true,
            })
            .await;
        match reached.as_deref() {
            Ok(Progress::Durable(_)) => Ok(()),
            Ok(Progress::Broken) | Err(_) => Err(JournalError::Broken),
        }
    }

    /// Reads a text back once it is durable. A few kilobytes out of the page cache: not worth a thread.
    pub(crate) async fn read(&self, blob: Blob) -> Result<String, JournalError> {
        let len = u64::try_from(blob.len).map_err(|_| JournalError::Unreadable)?;
        self.durable(blob.offset + len).await?;
        let mut bytes = vec![0; blob.len];
        let read = self.shared.file.read_exact_at(&mut bytes, blob.offset);
        read.map_err(|error| {
            tracing::error!(%error, offset = blob.offset, "the journal could not be read");
            JournalError::Unreadable
        })?;
        String::from_utf8(bytes).map_err(|_| JournalError::Unreadable)
    }

    /// Makes the rest durable and ends the thread.
    pub(crate) fn close(&self) {
        lock(&self.shared.pending).closed = true;
        self.shared.wake.notify_one();
        let writer = lock(&self.writer).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the journal's thread panicked");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn run(&self) {
        let mut batch = Vec::new();
        while let Some(end) = self.next_batch(&mut batch) {
            if let Err(error) = self.write(&batch, end) {
                // What is on disk now is unknown: nothing more may be promised by this process.
                tracing::error!(%error, "the journal could not be written; refusing all further requests");
                lock(&self.pending).closed = true;
                self.progress.send_replace(Progress::Broken);
                return;
            }
            self.progress.send_replace(Progress::Durable(end));
            batch.clear();
        }
    }

    /// Takes all that waits; `None` once the journal is closed and empty.
    fn next_batch(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut pending = lock(&self.pending);
        while pending.bytes.is_empty() {
            if pending.closed {
                return None;
            }
            pending = self.wake.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(batch, &mut pending.bytes);
        Some(pending.end)
    }

    fn write(&self, batch: &[u8], end: u64) -> io::Result<()> {
        if !self.limits.disk_latency.is_zero() {
            std::thread::sleep(self.limits.disk_latency);
        }
        let len = u64::try_from(batch.len()).map_err(io::Error::other)?;
        self.file.write_all_at(batch, end - len)?;
        self.file.sync_data()
    }
}
