use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ferrocart_types::NotificationId;
use lettre::Message;
use tokio::sync::{mpsc, oneshot};

use super::Mailer;
use crate::domain::{Refusal, SendError};

/// How many e-mails may wait to be written; more wait outside.
const QUEUE_MAX: usize = 256;

/// Leaves each e-mail as a file, for machines without a mail server. The name is the notification's id,
/// so that sending it again overwrites it instead of leaving a second one. E-mails that come while others
/// are on their way to the disk go there together.
#[derive(Debug, Clone)]
pub(crate) struct FileMailer {
    folder: PathBuf,
    queue: mpsc::Sender<Letter>,
}

#[derive(Debug)]
struct Letter {
    id: NotificationId,
    bytes: Vec<u8>,
    done: oneshot::Sender<Result<(), SendError>>,
}

impl FileMailer {
    /// Its writer ends with it.
    pub(crate) fn new(folder: &str) -> Self {
        let (queue, letters) = mpsc::channel(QUEUE_MAX);
        let folder = PathBuf::from(folder);
        ferrocart_telemetry::spawn("mail-files", write_letters(folder.clone(), letters));
        Self { folder, queue }
    }
}

async fn write_letters(folder: PathBuf, mut letters: mpsc::Receiver<Letter>) {
    let mut batch = Vec::new();
    while letters.recv_many(&mut batch, QUEUE_MAX).await > 0 {
        let (waiting, mut files): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .map(|letter| (letter.done, (letter.id, letter.bytes)))
            .unzip();
        // One that is sent again while its first try still waits is written once.
        files.sort_by_key(|(id, _)| *id);
        files.dedup_by_key(|(id, _)| *id);
        let folder = folder.clone();
        let written = blocking(move || write_durably(&folder, &files)).await;
        for done in waiting {
            if done.send(written.clone()).is_err() {
                tracing::debug!("an e-mail was written after its time");
            }
        }
    }
}

#[async_trait]
impl Mailer for FileMailer {
    fn name(&self) -> &'static str {
        "file"
    }

    async fn deliver(&self, id: NotificationId, message: &Message) -> Result<(), SendError> {
        let (done, written) = oneshot::channel();
        let letter = Letter {
            id,
            bytes: message.formatted(),
            done,
        };
        let gone = || SendError::new(Refusal::Unavailable, "the mail folder's writer is gone");
        self.queue.send(letter).await.map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }

    async fn probe(&self) -> Result<(), SendError> {
        let folder = self.folder.clone();
        blocking(move || {
            std::fs::create_dir_all(&folder)?;
            let probe = folder.join(".probe.tmp");
            std::fs::write(&probe, b"")?;
            match std::fs::remove_file(probe) {
                // Another replica probes the same folder.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                outcome => outcome,
            }
        })
        .await
    }
}

/// After a crash there are whole files or none: their bytes are on the disk before their names are, and the
/// names are before the callers hear of them. A reader that looks for *.eml never sees half an e-mail.
fn write_durably(folder: &Path, files: &[(NotificationId, Vec<u8>)]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let temporary = |id: &NotificationId| folder.join(format!(".{id}.tmp"));
    let mut open = Vec::with_capacity(files.len());
    for (id, bytes) in files {
        let mut file = File::create(temporary(id))?;
        file.write_all(bytes)?;
        open.push(file);
    }
    // All are written before the first is waited for: the disk takes them in one go.
    for file in &open {
        file.sync_all()?;
    }
    for (id, _) in files {
        std::fs::rename(temporary(id), folder.join(format!("{id}.eml")))?;
    }
    File::open(folder)?.sync_all()
}

async fn blocking(work: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<(), SendError> {
    // A full or missing disk is an outage, not this e-mail's fault.
    let unavailable = |reason: String| SendError::new(Refusal::Unavailable, reason);
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(unavailable(format!("the mail folder: {error}"))),
        Err(error) => Err(unavailable(format!("the mail folder: {error}"))),
    }
}
