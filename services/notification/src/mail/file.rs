use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ferrocart_types::NotificationId;
use lettre::Message;

use super::{MailError, Mailer};
use crate::domain::Refusal;

/// Leaves each e-mail as a file, for machines without a mail server. The name is the notification's id,
/// so that sending it again overwrites it instead of leaving a second one.
#[derive(Debug, Clone)]
pub(crate) struct FileMailer {
    folder: PathBuf,
}

impl FileMailer {
    pub(crate) fn new(folder: &str) -> Self {
        Self {
            folder: PathBuf::from(folder),
        }
    }
}

#[async_trait]
impl Mailer for FileMailer {
    fn name(&self) -> &'static str {
        "file"
    }

    async fn deliver(&self, id: NotificationId, message: &Message) -> Result<(), MailError> {
        let (folder, bytes) = (self.folder.clone(), message.formatted());
        blocking(move || {
            std::fs::create_dir_all(&folder)?;
            // A reader that looks for *.eml never sees half an e-mail.
            write_durably(&folder, &format!(".{id}.tmp"), &format!("{id}.eml"), &bytes)
        })
        .await
    }

    async fn probe(&self) -> Result<(), MailError> {
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

/// After a crash there is the whole file or none: its bytes are on the disk before its name is, and the
/// name is before the caller hears of it.
fn write_durably(folder: &Path, temporary: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = folder.join(temporary);
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, folder.join(name))?;
    std::fs::File::open(folder)?.sync_all()
}

async fn blocking(work: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<(), MailError> {
    // A full or missing disk is an outage, not this e-mail's fault.
    let unavailable = |reason: String| MailError::new(Refusal::Unavailable, reason);
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(unavailable(format!("the mail folder: {error}"))),
        Err(error) => Err(unavailable(format!("the mail folder: {error}"))),
    }
}
