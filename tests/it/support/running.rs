//! A program that runs beside a test and ends with it, together with all that it started.
//!
//! Called by `counterparts` and `browser`. It must never outlive the test run, not even when the
//! run itself is killed, and its output is shown only when a test fails.

use super::waiting::HANGS;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// How many of its last lines are shown when the test fails.
const LINES_SHOWN: usize = 60;

/// Starts the program in `"$@"` in place of the shell, and beside it a watcher that ends the whole
/// process group as soon as our end of its standard input closes: when [`Running`] is dropped, and
/// also when the test run is killed and nothing is dropped.
const WITH_WATCHER: &str = r#"exec 3<&0; { cat <&3 >/dev/null; kill -9 0; } & exec "$@" 3<&- </dev/null"#;

/// A program that runs until this is dropped.
pub(crate) struct Running {
    name: &'static str,
    child: Child,
    lifeline: Option<ChildStdin>,
    output: Arc<Mutex<Vec<String>>>,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Running {
    /// Starts `command` (its program, arguments, directory and environment).
    ///
    /// # Panics
    /// When it cannot be started: ask [`super::counterparts::Counterpart::is_installed`] first.
    pub(crate) fn start(name: &'static str, command: &Command) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", WITH_WATCHER, "sh"]).arg(command.get_program()).args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(variable, value),
                None => shell.env_remove(variable),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        let mut child = shell
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} could not be started: {error}"));

        let output = Arc::default();
        let (sender, lines) = mpsc::unbounded_channel();
        collect(child.stdout.take().unwrap(), Arc::clone(&output), sender.clone());
        collect(child.stderr.take().unwrap(), Arc::clone(&output), sender);
        Self { name, lifeline: child.stdin.take(), child, output, lines }
    }

    /// Waits for the first line of output that `recognise` makes something of.
    ///
    /// # Panics
    /// When the program ends first, or says nothing of the kind before it counts as hanging.
    pub(crate) async fn ready<T>(&mut self, recognise: impl Fn(&str) -> Option<T>) -> T {
        let name = self.name;
        let found = self.ready_within(HANGS, recognise).await;
        found.unwrap_or_else(|| panic!("{name} was not ready after {HANGS:?}"))
    }

    /// As [`Self::ready`], and none when `time` has passed.
    ///
    /// # Panics
    /// When the program ends first.
    pub(crate) async fn ready_within<T>(&mut self, time: Duration, recognise: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = async {
            while let Some(line) = self.lines.recv().await {
                if let Some(found) = recognise(&line) {
                    return Some(found);
                }
            }
            None
        };
        let found = tokio::time::timeout(time, found).await.ok()?;
        Some(found.unwrap_or_else(|| panic!("{} ended before it was ready", self.name)))
    }

    /// Sends it a signal, by its name as `kill` takes it: `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "{} could not be sent {name}", self.name);
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it still runs after [`HANGS`].
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = tokio::time::timeout(HANGS, ended).await;
        ended.unwrap_or_else(|_| panic!("{} has not ended after {HANGS:?}", self.name))
    }

    /// Everything that it printed so far, both streams, in the order of arrival.
    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().join("\n")
    }
}

/// Keeps every line of `stream` and passes it on, until the program closes it. A thread of its
/// own, because the program must be able to print also while no test is polling.
fn collect(stream: impl Read + Send + 'static, output: Arc<Mutex<Vec<String>>>, lines: mpsc::UnboundedSender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            output.lock().unwrap().push(line.clone());
            // Nobody waits for a line any more: it is kept all the same.
            let _ = lines.send(line);
        }
    });
}

impl Drop for Running {
    #[expect(clippy::print_stderr, reason = "the test runner shows it with the failed test, and only then")]
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The watcher ends the group, and the shell's place in it is the program's.
        let _ = self.child.wait();
        if std::thread::panicking() {
            let output = self.output.lock().unwrap();
            let shown = output.iter().skip(output.len().saturating_sub(LINES_SHOWN));
            eprintln!("-- {} printed last:", self.name);
            shown.for_each(|line| eprintln!("   {line}"));
        }
    }
}
