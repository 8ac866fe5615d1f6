//! Reads the lists of the rules that stand in files again while the program runs.
//!
//! Called by `App::run`. By content, as the session keys are, and for the same reasons
//! (`key_rotation`). Must never leave a rule with half a list: a file that is missing, malformed or
//! still being written changes nothing, and is read again.

use crate::config::{ListChange, ListFiles};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Between two readings. A change counts when it was read twice.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The lists of a site.
pub(super) struct ListWatch {
    /// Whose lists they are, where there are several.
    pub(super) site: Option<String>,
    pub(super) files: ListFiles,
    /// Notified when the files are to be read at once.
    pub(super) asked: Arc<Notify>,
}

impl ListWatch {
    /// Keeps the lists as the files are. Ends only where no list is in a file.
    pub(super) async fn keep(self) {
        let Self { site, mut files, asked } = self;
        while files.are_any() {
            tokio::select! {
                () = tokio::time::sleep(READ_EVERY) => {}
                () = asked.notified() => {}
            }
            // A file system that hangs must not hold a worker.
            let reading = tokio::task::spawn_blocking(move || {
                let changes = files.read();
                (files, changes)
            });
            let Ok((read, changes)) = reading.await else {
                tracing::error!(site, "the files of lists are not read again: a reading broke off; restart");
                return;
            };
            files = read;
            for change in changes {
                tell(site.as_deref(), change);
            }
        }
    }
}

fn tell(site: Option<&str>, change: ListChange) {
    match change {
        ListChange::Taken { file, entries } => tracing::info!(site, file, entries, "a list of the rules has changed"),
        ListChange::Unfit { file, why } => {
            tracing::warn!(site, file, "a list of the rules {why}; the one from before stays in use");
        }
        ListChange::FitAgain { file } => {
            tracing::info!(site, file, "a list of the rules can be read again, and is the same");
        }
    }
}
