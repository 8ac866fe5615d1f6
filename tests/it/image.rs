//! The container image, without an engine: the steps of its Dockerfile run as they are
//! (`deploy/image/try`), the binary starts in what they staged, and the Dockerfile says no more than
//! what was tried.

use crate::support::client::Client;
use crate::support::counterparts::{all_tests, skipped};
use crate::support::front_proxy::shipped;
use crate::support::ports::free_port;
use crate::support::running::Running;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_vestibule");
const DOCKERFILE: &str = include_str!("../../Dockerfile");
/// What the image runs as.
const USER: u32 = 65532;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> BTreeSet<String> {
    let (mut folders, mut found) = (vec![folder.to_owned()], BTreeSet::new());
    while let Some(here) = folders.pop() {
        for entry in std::fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            if std::fs::symlink_metadata(&path).unwrap().is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let copied = to.join(&file);
        std::fs::create_dir_all(copied.parent().unwrap()).unwrap();
        std::fs::copy(from.join(&file), copied).unwrap();
    }
}

/// A folder that anybody may enter.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// A shipped configuration, started by `try`.
struct Tried {
    running: Running,
    process: u32,
    proxy: SocketAddr,
    admin: SocketAddr,
    /// What is before the command: how its user is become.
    by: Vec<String>,
    folder: TempDir,
}

impl Tried {
    /// Runs `try` as whom `by` makes it, once it serves; none where this machine does not let it.
    async fn start(by: &[&str]) -> Option<Self> {
        let folder = open_folder();
        let [proxy, admin] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let mut configuration = shipped("nginx/vestibule.yaml");
        for (from, to) in [("127.0.0.1:4180", proxy), ("127.0.0.1:4181", admin)] {
            assert!(configuration.contains(from), "{from}");
            configuration = configuration.replace(from, &to.to_string());
        }
        let secrets = folder.path().join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        std::fs::write(folder.path().join("vestibule.yaml"), configuration).unwrap();
        std::fs::write(secrets.join("proconnect"), "a-client-secret").unwrap();
        let key = Command::new(BINARY).args(["keys", "new"]).output().unwrap();
        std::fs::write(secrets.join("session-key"), key.stdout).unwrap();
        // Where whoever runs the script can reach them, be it somebody else than us.
        copy(&repository().join("deploy"), &folder.path().join("tree/deploy"));
        copy(&repository().join("config"), &folder.path().join("tree/config"));
        std::fs::write(folder.path().join("tree/Dockerfile"), DOCKERFILE).unwrap();
        std::fs::copy(BINARY, folder.path().join("vestibule")).unwrap();
        let staged = folder.path().join("image");
        std::fs::create_dir(&staged).unwrap();
        std::fs::set_permissions(&staged, PermissionsExt::from_mode(0o777)).unwrap();

        let by: Vec<String> = by.iter().map(|&word| word.to_owned()).collect();
        let mut command = as_whom(&by, &folder.path().join("tree/deploy/image/try"));
        for (option, file) in [("--binary", "vestibule"), ("--config", "vestibule.yaml"), ("--secrets", "secrets")] {
            command.arg(option).arg(folder.path().join(file));
        }
        let mut running = Running::start("image", command.arg(&staged));
        let serves = running
            .ready(|line| {
                (line.contains(r#""message":"listening""#) || line.contains("it is not started"))
                    .then(|| line.starts_with('{'))
            })
            .await;
        if !serves {
            return None;
        }
        let output = running.output();
        let process = output.lines().find_map(|line| line.strip_prefix("image: process ")?.split(',').next());
        let process = process.unwrap().parse().unwrap();
        Some(Self { running, process, proxy, admin, by, folder })
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("image/root")
    }

    /// What the image's health check says: its exit code, and its words.
    fn health(&self) -> (i32, String) {
        let output = as_whom(&self.by, &self.folder.path().join("tree/deploy/image/try"))
            .args(["--health", &self.process.to_string()])
            .output()
            .unwrap();
        (output.status.code().unwrap(), said(&output))
    }

    /// A line of what the system knows of the process.
    fn status(&self, key: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{key} in {status}")).trim().to_owned()
    }

    /// What comes of writing `path` in its root, as its user, from outside.
    fn write(&self, path: &str) -> (bool, String) {
        let owner = self.status("Uid").split_whitespace().next().unwrap().to_owned();
        let group = self.status("Gid").split_whitespace().next().unwrap().to_owned();
        let path = format!("/proc/{}/root{path}", self.process);
        let mut command = if is_root() { Command::new("setpriv") } else { Command::new("sh") };
        if is_root() {
            command.args(["--reuid", &owner, "--regid", &group, "--clear-groups", "sh"]);
        }
        let output = command.args(["-c", r#": >> "$1""#, "sh", &path]).output().unwrap();
        (output.status.success(), said(&output))
    }
}

fn as_whom(by: &[String], program: &Path) -> Command {
    let Some((first, rest)) = by.split_first() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == extension)
}

/// The configurations that are shipped, found in another way than the build step finds them.
fn configurations() -> BTreeSet<String> {
    let found = ["config", "deploy"]
        .into_iter()
        .flat_map(|folder| files(&repository().join(folder)).into_iter().map(move |file| format!("{folder}/{file}")));
    let is_one = |file: &String| {
        has_extension(file, "yaml")
            && std::fs::read_to_string(repository().join(file))
                .unwrap()
                .lines()
                .any(|line| line.trim_start().starts_with("public_url:"))
    };
    found.filter(is_one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_serves_a_shipped_configuration_as_nobody_in_a_root_that_nobody_writes() {
    let Some(mut image) = Tried::start(&[]).await else {
        assert!(!all_tests(), "the image can be tried by root, or with user namespaces");
        return skipped("the image: this machine has neither root nor user namespaces");
    };
    let output = image.running.output();
    let checked: BTreeSet<String> =
        output.lines().filter_map(|line| line.strip_prefix("image: checked ").map(str::to_owned)).collect();
    assert!(checked.len() > 12, "{output}");
    assert_eq!(checked, configurations());

    // It serves, says so to the engine, and keeps its state where that is mounted.
    let client = Client::new(image.proxy);
    assert_eq!(client.get("/oauth2/ping", &[]).await.status, 200);
    let page = client.get("/oauth2/sign_in", &[("host", "app.example.gouv.fr"), ("accept", "text/html")]).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("ProConnect"), "{}", page.text());
    assert_eq!(image.health(), (0, format!("http://{}: alive\n", image.admin)));
    assert!(image.root().join("var/lib/vestibule/state.db").is_file());

    // As nobody, who can become nobody else.
    let ids: BTreeSet<String> = image.status("Uid").split_whitespace().map(str::to_owned).collect();
    let nobody = if is_root() { USER } else { std::fs::metadata("/proc/self").unwrap().uid() };
    assert_eq!(ids, BTreeSet::from([nobody.to_string()]));
    assert_ne!(nobody, 0);
    for capabilities in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(image.status(capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!(image.status("NoNewPrivs"), "1");
    assert!(!is_root() || image.status("Groups").is_empty(), "{}", image.status("Groups"));
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", image.process)).unwrap();
    assert!(environment.split_terminator('\0').all(|variable| variable.starts_with("PATH=")), "{environment}");

    // Nothing can be written but the state, by whatever name.
    for path in ["/new", "/etc/vestibule/vestibule.yaml", "/usr/local/bin/vestibule", "/run/secrets/new", "/tmp"] {
        let (written, why) = image.write(path);
        assert!(!written, "{path} was written");
        assert!(["Read-only file system", "Permission denied"].iter().any(|word| why.contains(word)), "{path}: {why}");
    }
    assert_eq!(image.write("/var/lib/vestibule/new"), (true, String::new()));
    if !output.contains("no mounts may be made here") {
        assert!(image.write("/new").1.contains("Read-only file system"), "{output}");
    }

    // A process that hangs takes connections and is not well; one that goes on is.
    image.running.signal("STOP");
    let (code, words) = image.health();
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("no answer in time"), "{words}");
    image.running.signal("CONT");
    assert_eq!(image.health().0, 0);

    // Told to stop it ends well, and then it is not.
    image.running.signal("TERM");
    assert!(image.running.ended().await.success());
    let address = format!("http://{}", image.admin);
    let gone = Command::new(BINARY).args(["health", "--admin", &address]).output().unwrap();
    assert_eq!(gone.status.code(), Some(1));
    assert!(said(&gone).contains("Connection refused"), "{}", said(&gone));

    holds_nothing_else(&image.root());
}

/// That a root that was staged and started holds what the image needs and what was mounted.
fn holds_nothing_else(root: &Path) {
    let mounted = |file: &str| {
        ["etc/hosts", "etc/resolv.conf", "etc/vestibule/vestibule.yaml"].contains(&file)
            || file.starts_with("run/secrets/")
            || file.starts_with("var/lib/vestibule/")
    };
    let notice = |file: &str| {
        file == "etc/os-release"
            || file.starts_with("var/lib/dpkg/status.d/")
            || (file.starts_with("usr/share/doc/") && file.ends_with("/copyright"))
    };
    let library = |file: &str| {
        let name = file.rsplit('/').next().unwrap();
        (file.starts_with("lib") || file.starts_with("usr/lib")) && name.contains(".so")
    };
    let mut programs = Vec::new();
    for file in files(root) {
        let mode = std::fs::symlink_metadata(root.join(&file)).unwrap().mode();
        assert_eq!(mode & 0o170_000, 0o100_000, "{file} is a link");
        assert_eq!(mode & 0o6000, 0, "{file} is set-user-id");
        assert!(file.starts_with("var/lib/vestibule/") || mode & 0o022 == 0, "{file}: {mode:o}");
        match file.as_str() {
            "etc/nsswitch.conf" | "etc/ssl/certs/ca-certificates.crt" => assert_eq!(mode & 0o444, 0o444, "{file}"),
            _ if mounted(&file) || notice(&file) || library(&file) => {}
            _ => programs.push(file),
        }
    }
    // No shell, and nothing else that runs.
    assert_eq!(programs, ["usr/local/bin/vestibule"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_less_is_allowed_it_is_locked_in_as_far_as_that_goes_and_what_is_not_done_is_said() {
    if !is_root() {
        return skipped("the image with fewer rights: only root can give some of its own up");
    }
    let ways: [(&[&str], &str, &str, u32); 2] = [
        (&["setpriv", "--bounding-set=-sys_admin"], "no mounts may be made here", "Permission denied", USER),
        (
            &["setpriv", "--reuid=65531", "--regid=65531", "--clear-groups"],
            "without root",
            "Read-only file system",
            65531,
        ),
    ];
    for (by, not_done, refusal, user) in ways {
        let Some(image) = Tried::start(by).await else {
            skipped(&format!("the image as {by:?}: this machine has no user namespaces"));
            continue;
        };
        let output = image.running.output();
        let lines: Vec<&str> = output.lines().filter(|line| line.starts_with("image: NOT DONE: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(not_done), "{output}");
        assert_eq!(image.status("Uid").split_whitespace().next(), Some(user.to_string().as_str()));
        assert_eq!(image.status("CapEff"), "0000000000000000");
        assert_eq!(image.health(), (0, format!("http://{}: alive\n", image.admin)), "{by:?}");
        let (written, why) = image.write("/new");
        assert!(!written && why.contains(refusal), "{by:?}: {why}");
    }
}

#[test]
fn a_configuration_that_the_binary_refuses_ends_the_build() {
    let tree = open_folder();
    for folder in ["deploy", "config"] {
        copy(&repository().join(folder), &tree.path().join(folder));
    }
    let check = || Command::new(tree.path().join("deploy/image/check")).arg(BINARY).output().unwrap();
    let good = check();
    assert!(good.status.success(), "{}", said(&good));
    let mut lines = Vec::new();
    let broken = ["deploy/nginx/vestibule.yaml", "deploy/kubernetes/sidecar.yaml", "config/albert.yaml"];
    for file in broken {
        let path = tree.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let line = 1 + text.lines().position(|line| line.trim_start().starts_with("public_url:")).unwrap();
        std::fs::write(&path, text.replace("public_url:", "publick_url:")).unwrap();
        lines.push(format!("{file}:{line}: publick_url"));
    }
    // What is no configuration at all, where one is expected.
    std::fs::write(tree.path().join("deploy/caddy/vestibule.yaml"), "").unwrap();
    let bad = check();
    let words = said(&bad);
    assert_eq!(bad.status.code(), Some(1), "{words}");
    for line in lines {
        assert!(words.contains(&line), "{line} in\n{words}");
    }
    let wrong: BTreeSet<&str> = words.lines().filter_map(|line| line.strip_prefix("image: WRONG: ")).collect();
    assert_eq!(wrong, broken.into_iter().chain(["deploy/caddy/vestibule.yaml"]).collect());

    // And nothing is staged then.
    std::fs::write(tree.path().join("Dockerfile"), DOCKERFILE).unwrap();
    let mut tried = Command::new(tree.path().join("deploy/image/try"));
    let tried = tried.args(["--binary", BINARY]).arg(tree.path().join("image")).output().unwrap();
    assert_eq!(tried.status.code(), Some(1), "{}", said(&tried));
    assert!(!tree.path().join("image").exists());
}

/// The instructions of each stage: name and the rest, on one line.
fn stages() -> Vec<Vec<(String, String)>> {
    let mut stages = Vec::new();
    let uncommented: Vec<&str> = DOCKERFILE.lines().filter(|line| !line.starts_with('#')).collect();
    for line in uncommented.join("\n").replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()) {
        let (name, rest) = line.split_once(' ').unwrap();
        if name == "FROM" {
            stages.push(Vec::new());
        }
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        stages.last_mut().unwrap().push((name.to_owned(), rest));
    }
    stages
}

fn all<'s>(stage: &'s [(String, String)], name: &str) -> Vec<&'s str> {
    stage.iter().filter(|(of, _)| of == name).map(|(_, rest)| rest.as_str()).collect()
}

/// The words of an exec form.
fn words(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text} is no exec form: {error}"))
}

#[test]
fn the_dockerfile_takes_the_same_steps_in_the_same_order_and_stages_nothing_else() {
    let [build, last] = &stages()[..] else { panic!("two stages") };
    let steps: Vec<&str> = all(build, "RUN").into_iter().filter(|run| run.contains("deploy/image/")).collect();
    let [first, check, stage] = steps[..] else { panic!("{steps:?}") };
    assert!(first.ends_with("target=/src/target deploy/image/build /vestibule"), "{first}");
    assert_eq!([check, stage], ["deploy/image/check /vestibule", "deploy/image/stage /vestibule /image"]);
    for step in ["build", "check", "stage", "try"] {
        let mode = std::fs::metadata(repository().join("deploy/image").join(step)).unwrap().mode();
        assert_eq!(mode & 0o111, 0o111, "{step} does not run");
    }
    // The image is what was staged. Nothing runs there, and nothing could: there is no shell.
    assert_eq!(all(last, "FROM"), ["scratch"]);
    assert_eq!(all(last, "COPY"), ["--from=build /image/ /"]);
    let known = ["FROM", "COPY", "LABEL", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"];
    assert!(last.iter().all(|(name, _)| known.contains(&name.as_str())), "{last:?}");
    let version = format!("org.opencontainers.image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(all(last, "LABEL")[0].contains(&version), "{version}");

    assert_eq!(all(last, "USER"), [format!("{USER}:{USER}")]);
    let owner = std::fs::read_to_string(repository().join("deploy/image/stage")).unwrap();
    assert!(owner.contains(&format!("\nuser={USER}\n")));
    assert_eq!(words(all(last, "ENTRYPOINT")[0]), ["/usr/local/bin/vestibule"]);
    assert_eq!(words(all(last, "CMD")[0]), ["serve", "--config", "/etc/vestibule/vestibule.yaml"]);
    let [health] = all(last, "HEALTHCHECK")[..] else { panic!("one health check") };
    let (options, command) = health.split_once(" CMD ").unwrap();
    assert_eq!(words(command), ["/usr/local/bin/vestibule", "health", "--config", "/etc/vestibule/vestibule.yaml"]);
    // It says why by itself before the engine ends it: three seconds are its own.
    assert!(options.contains("--timeout=5s"), "{options}");
}

#[test]
fn what_the_context_lets_in_is_what_is_built_and_nothing_that_is_installed_beside_it() {
    let ignored = std::fs::read_to_string(repository().join(".dockerignore")).unwrap();
    let rules: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rules[0], "*", "whatever is not named stays outside");
    let context = tempfile::tempdir().unwrap();
    for name in rules.iter().filter_map(|rule| rule.strip_prefix('!')) {
        let (from, to) = (repository().join(name), context.path().join(name));
        assert!(from.exists(), "{name} is let in and does not exist");
        assert!(!["target", "tests", ".git"].contains(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
    // cargo finds every file that the manifests name, and those that the steps read are there too.
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--no-deps", "--format-version=1"])
        .current_dir(context.path())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", said(&cargo));
    for file in configurations() {
        assert!(context.path().join(&file).is_file(), "{file}");
    }
    // Whatever the program has in it comes from there.
    for file in files(&repository().join("src")).iter().filter(|file| has_extension(file, "rs")) {
        let text = std::fs::read_to_string(repository().join("src").join(file)).unwrap();
        let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let is_of_tests = file.ends_with("tests.rs");
        let outside = program.split("include_").skip(1).any(|rest| {
            let path = rest.split('"').nth(1).unwrap_or_default();
            path.matches("../").count() > file.matches('/').count()
        });
        assert!(is_of_tests || !outside, "{file} includes what the context does not let in");
    }
}

#[test]
fn the_manifests_run_the_image_as_it_is() {
    let [_, last] = &stages()[..] else { panic!("two stages") };
    for manifest in ["sidecar.yaml", "standalone.yaml"] {
        let text = shipped(&format!("kubernetes/{manifest}"));
        assert!(text.contains(&format!("image: vestibule:{}\n", env!("CARGO_PKG_VERSION"))), "{manifest}");
        for key in ["runAsUser", "runAsGroup", "fsGroup"] {
            assert!(text.contains(&format!("{key}: {USER}\n")), "{manifest} {key}");
        }
        let arguments = format!("args: [{}]", words(all(last, "CMD")[0]).join(", "));
        assert!(text.contains(&arguments), "{manifest}: {arguments}");
        assert!(!text.contains("command:"), "{manifest}: the image's own");
        // The places that the image has for them.
        let mounts: Vec<&str> = text.split("mountPath: ").skip(1).filter_map(|rest| rest.split(',').next()).collect();
        assert_eq!(mounts, ["/etc/vestibule", "/run/secrets/vestibule"], "{manifest}");
    }
}
