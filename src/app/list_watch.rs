//! Reads the lists of the rules that stand in files again while the program runs.
//!
//! Called by `App::run`. By content, as the session keys are, and for the same reasons
//! (`key_rotation`). A configuration that is read again has lists of its own, which `reload` hands
//! over. Must never leave a rule with half a list: a file that is missing, malformed or
//! still being written changes nothing, and is read again.

use crate::config::{ListChange, ListFiles};
use std::time::Duration;
use tokio::sync::watch;

/// Between two readings. A change counts when it was read twice.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The lists of a site.
pub(super) struct ListWatch {
    /// Whose lists they are, where there are several.
    pub(super) site: Option<String>,
    /// Those that the rules look at, from each turn of the configuration to the next.
    pub(super) files: watch::Receiver<ListFiles>,
}

impl ListWatch {
    /// Keeps the lists as the files are. Never ends by itself.
    pub(super) async fn keep(self) {
        let Self { site, files: mut turns } = self;
        let mut files = turns.borrow_and_update().clone();
        loop {
            tokio::select! {
                // Without the other end nothing is read anew any more, and the lists stay.
                Ok(()) = turns.changed() => {
                    files = turns.borrow_and_update().clone();
                    continue;
                }
                // Never at once: two readings a moment apart say nothing of a file that is being written.
                () = tokio::time::sleep(READ_EVERY), if files.are_any() => {}
                else => return,
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
