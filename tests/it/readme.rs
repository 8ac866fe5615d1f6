//! What the README and the documentation promise: the configuration loads, the links lead
//! somewhere, the names are those of the program.

use std::path::Path;
use vestibule::config::{self, Environment, Unreadable};
use vestibule::gate::headers::NAMED_SETS;
use vestibule::secret::SecretString;

const README: &str = include_str!("../../README.md");

/// Answers every question for a secret with a good one, as `vestibule keys new` makes them.
struct AnySecret;

fn fresh() -> String {
    let key = std::process::Command::new(env!("CARGO_BIN_EXE_vestibule")).args(["keys", "new"]).output().unwrap();
    String::from_utf8(key.stdout).unwrap()
}

impl Environment for AnySecret {
    fn variable(&self, _name: &str) -> Result<SecretString, Unreadable> {
        Ok(SecretString::from(fresh().trim()))
    }

    fn file(&self, _path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Unreadable> {
        Ok(zeroize::Zeroizing::new(fresh().into_bytes()))
    }
}

#[test]
fn the_readme_s_configuration_runs_without_a_finding() {
    let yaml = README.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let config = config::from_text("README.md", yaml, &AnySecret).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.findings(), []);
}

#[test]
fn the_readme_names_every_header_set_and_every_command() {
    for set in NAMED_SETS {
        assert!(README.contains(&format!("| `{set}`")), "{set}");
    }
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_vestibule")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    let commands: Vec<&str> =
        commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(commands.len() >= 5, "{help}");
    for command in commands {
        assert!(README.contains(&format!("`vestibule {command}")), "{command}");
    }
}

#[test]
fn every_relative_link_of_the_documentation_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    let mut links = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let target = page.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(target.exists(), "{} links to {link}, which does not exist", page.display());
            links += 1;
        }
    }
    assert!(links > 8, "only {links} links were read");
}
