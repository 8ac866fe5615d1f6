//! The manifests of `deploy/kubernetes`: held to the schemas of Kubernetes, to what a cautious
//! cluster admits, and to the configuration that they carry.

use super::support::counterparts::{Counterpart, require};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use vestibule::config::{self, Environment, Unreadable};
use vestibule::secret::SecretString;
use vestibule::server::ListenAddress;
use zeroize::Zeroizing;

const MANIFESTS: [&str; 2] = ["sidecar.yaml", "standalone.yaml"];

/// What the Secret holds, mounted where the manifests say, and nothing else.
struct Mounted(Vec<PathBuf>);

impl Environment for Mounted {
    fn variable(&self, _: &str) -> Result<SecretString, Unreadable> {
        Err(Unreadable::Absent)
    }

    fn file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let secret = b"4eLj5OXm5-jp6uvs7e7v8PHy8_T19vf4-fr7_P3-_4A";
        let is_mounted = self.0.iter().any(|folder| path.starts_with(folder));
        if is_mounted { Ok(Zeroizing::new(secret.to_vec())) } else { Err(Unreadable::Absent) }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes")
}

/// The resources of a manifest.
fn resources(manifest: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join(manifest)).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn one<'r>(resources: &'r [Value], kind: &str) -> &'r Value {
    resources.iter().find(|resource| resource["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

/// The pod of the deployment, and Vestibule's container in it.
fn pod(resources: &[Value]) -> (&Value, &Value) {
    let pod = &one(resources, "Deployment")["spec"]["template"]["spec"];
    let containers = pod["containers"].as_array().unwrap();
    (pod, containers.iter().find(|container| container["name"] == "vestibule").unwrap())
}

fn config_of(resources: &[Value]) -> config::Config {
    let (pod, vestibule) = pod(resources);
    let of_secrets: Vec<&Value> =
        pod["volumes"].as_array().unwrap().iter().filter(|v| v.get("secret").is_some()).collect();
    let mounts = vestibule["volumeMounts"].as_array().unwrap().iter();
    let mounts = mounts.filter(|mount| of_secrets.iter().any(|volume| volume["name"] == mount["name"]));
    let mounted = Mounted(mounts.map(|mount| PathBuf::from(mount["mountPath"].as_str().unwrap())).collect());
    let text = one(resources, "ConfigMap")["data"]["vestibule.yaml"].as_str().unwrap();
    config::from_text("vestibule.yaml", text, &mounted).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_manifests_are_what_kubernetes_takes() {
    require!(KubernetesValidate);
    for manifest in MANIFESTS {
        let mut command = Command::new(Counterpart::KubernetesValidate.program());
        let output = command.args(["--strict", "--quiet"]).arg(folder().join(manifest)).output().unwrap();
        assert!(output.status.success(), "{manifest}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_configuration_loads_with_what_is_mounted_and_with_one_finding_that_a_policy_answers() {
    for manifest in MANIFESTS {
        let resources = resources(manifest);
        let found = config_of(&resources);
        let findings: Vec<String> = found.findings().iter().map(|finding| finding.message.clone()).collect();
        let [finding] = &findings[..] else { panic!("{manifest}: {findings:?}") };
        assert!(finding.contains("metrics and health are reachable from other machines"), "{finding}");
        let policies = resources.iter().filter(|resource| resource["kind"] == "NetworkPolicy");
        let admin = policies.flat_map(|policy| policy["spec"]["ingress"].as_array().unwrap());
        assert!(admin.clone().any(|rule| rule["ports"][0]["port"] == "admin"));
        assert!(admin.into_iter().all(|rule| rule["from"].as_array().is_some_and(|from| !from.is_empty())));
    }
}

#[test]
fn probes_ports_and_the_time_to_end_are_those_of_the_configuration() {
    for manifest in MANIFESTS {
        let resources = resources(manifest);
        let (pod, vestibule) = pod(&resources);
        let server = config_of(&resources).server;
        for (name, listener) in [("http", &server.proxy), ("admin", &server.admin)] {
            let ListenAddress::Tcp(address) = &listener.address else { panic!("{manifest}: a socket") };
            let ports = vestibule["ports"].as_array().unwrap();
            let port = ports.iter().find(|port| port["name"] == name).unwrap();
            assert_eq!(port["containerPort"], address.port(), "{manifest} {name}");
        }
        for (probe, path) in
            [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"), ("startupProbe", "/healthz")]
        {
            assert_eq!(vestibule[probe]["httpGet"], json!({"path": path, "port": "admin"}), "{manifest} {probe}");
        }
        let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(server.shutdown_grace.as_secs() < grace, "{manifest}");
        assert_eq!(vestibule["args"], json!(["serve", "--config", "/etc/vestibule/vestibule.yaml"]));
        assert_eq!(one(&resources, "Service")["spec"]["ports"][0]["targetPort"], "http");
    }
}

#[test]
fn vestibule_runs_as_nobody_with_nothing_to_write_and_secrets_by_reference() {
    for manifest in MANIFESTS {
        let resources = resources(manifest);
        let (pod, vestibule) = pod(&resources);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        let context = &vestibule["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true);
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{manifest}");
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{manifest}");
            let user = context.get("runAsUser").or_else(|| pod["securityContext"].get("runAsUser"));
            assert!(user.and_then(Value::as_u64).is_some_and(|user| user > 0), "{manifest}");
            assert!(container.get("env").is_none(), "{manifest}: secrets are files");
        }
        assert!(
            vestibule["resources"]["requests"]["memory"].is_string()
                && vestibule["resources"]["limits"]["memory"].is_string()
        );
        assert!(vestibule["volumeMounts"].as_array().unwrap().iter().all(|mount| mount["readOnly"] == true));
        assert!(!resources.iter().any(|resource| resource["kind"] == "Secret"), "{manifest}: a secret in the file");
    }
}
