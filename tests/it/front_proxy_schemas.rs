//! The files for front proxies that do not run in the suite, held to what those take: an unknown key is
//! passed over by some of them in silence, and what it was to close stays open.
//!
//! A path stands for a mapping: its keys with dots between them, `*` for any name, items of a list
//! under the list's own path. The keys are those of the projects' reference pages, as far as one may
//! want them here.

use super::support::counterparts::{Counterpart, require};
use super::support::front_proxy::shipped;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Traefik 3, dynamic configuration of the file provider.
const TRAEFIK: &[(&str, &[&str])] = &[
    ("", &["http"]),
    ("http", &["routers", "services", "middlewares", "serversTransports"]),
    ("http.routers.*", &["rule", "ruleSyntax", "priority", "entryPoints", "middlewares", "service", "tls"]),
    ("http.routers.*.tls", &["certResolver", "domains", "options"]),
    ("http.services.*", &["loadBalancer"]),
    ("http.services.*.loadBalancer", &["servers", "healthCheck", "passHostHeader", "responseForwarding", "sticky"]),
    ("http.services.*.loadBalancer.servers", &["url", "weight", "preservePath"]),
    ("http.middlewares.*", &["forwardAuth", "headers"]),
    (
        "http.middlewares.*.forwardAuth",
        &[
            "address",
            "trustForwardHeader",
            "authResponseHeaders",
            "authResponseHeadersRegex",
            "authRequestHeaders",
            "addAuthCookiesToResponse",
            "headerField",
            "forwardBody",
            "maxBodySize",
            "preserveLocationHeader",
            "preserveRequestMethod",
            "tls",
        ],
    ),
    ("http.middlewares.*.headers", &["customRequestHeaders", "customResponseHeaders"]),
    ("http.middlewares.*.headers.customRequestHeaders", &["*"]),
];

/// `meshConfig` of Istio, and its AuthorizationPolicy and EnvoyFilter, as far as they are used.
const ISTIO: &[(&str, &[&str])] = &[
    ("", &["apiVersion", "kind", "metadata", "spec"]),
    ("metadata", &["name", "namespace"]),
    ("spec", &["meshConfig", "selector", "action", "provider", "rules", "workloadSelector", "configPatches"]),
    ("spec.meshConfig", &["extensionProviders"]),
    ("spec.meshConfig.extensionProviders", &["name", "envoyExtAuthzHttp", "envoyExtAuthzGrpc"]),
    (
        "spec.meshConfig.extensionProviders.envoyExtAuthzHttp",
        &[
            "service",
            "port",
            "timeout",
            "pathPrefix",
            "failOpen",
            "statusOnError",
            "includeRequestHeadersInCheck",
            "includeAdditionalHeadersInCheck",
            "includeRequestBodyInCheck",
            "headersToUpstreamOnAllow",
            "headersToDownstreamOnDeny",
            "headersToDownstreamOnAllow",
        ],
    ),
    ("spec.selector", &["matchLabels"]),
    ("spec.selector.matchLabels", &["*"]),
    ("spec.provider", &["name"]),
    ("spec.rules", &["from", "to", "when"]),
    ("spec.rules.to", &["operation"]),
    (
        "spec.rules.to.operation",
        &["hosts", "notHosts", "ports", "notPorts", "methods", "notMethods", "paths", "notPaths"],
    ),
    ("spec.workloadSelector", &["labels"]),
    ("spec.workloadSelector.labels", &["*"]),
    ("spec.configPatches", &["applyTo", "match", "patch"]),
    ("spec.configPatches.match", &["context", "listener"]),
    ("spec.configPatches.match.listener", &["filterChain", "name", "portNumber"]),
    ("spec.configPatches.match.listener.filterChain", &["filter", "name", "sni"]),
    ("spec.configPatches.match.listener.filterChain.filter", &["name"]),
    ("spec.configPatches.patch", &["operation", "value"]),
    // Envoy's own, which runs in the suite elsewhere.
    ("spec.configPatches.patch.value", &["typed_config"]),
    ("spec.configPatches.patch.value.typed_config", &["@type", "common_http_protocol_options"]),
    ("spec.configPatches.patch.value.typed_config.common_http_protocol_options", &["headers_with_underscores_action"]),
];

/// What ingress-nginx takes under `nginx.ingress.kubernetes.io/`.
const INGRESS_NGINX: &[&str] = &[
    "auth-url",
    "auth-signin",
    "auth-signin-redirect-param",
    "auth-method",
    "auth-response-headers",
    "auth-request-redirect",
    "auth-cache-key",
    "auth-cache-duration",
    "auth-always-set-cookie",
    "auth-proxy-set-headers",
    "proxy-read-timeout",
    "proxy-send-timeout",
    "proxy-buffer-size",
    "proxy-body-size",
];

fn fits(path: &str, pattern: &str) -> bool {
    let (path, pattern): (Vec<_>, Vec<_>) = (path.split('.').collect(), pattern.split('.').collect());
    path.len() == pattern.len() && path.iter().zip(&pattern).all(|(name, wanted)| *wanted == "*" || name == wanted)
}

/// Notes every key below `path` that is not among those known there.
fn unknown(value: &Value, path: &str, known: &[(&str, &[&str])], found: &mut Vec<String>) {
    match value {
        Value::Object(keys) => {
            let here = known.iter().find(|(pattern, _)| fits(path, pattern)).map(|(_, keys)| *keys);
            // A mapping of names, such as that of the routers.
            let names =
                known.iter().any(|(pattern, _)| pattern.strip_suffix(".*").is_some_and(|above| fits(path, above)));
            for (key, value) in keys {
                if !names && !here.is_some_and(|here| here.contains(&key.as_str()) || here == ["*"]) {
                    found.push(format!("{path}.{key}"));
                }
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                unknown(value, &below, known, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                unknown(item, path, known, found);
            }
        }
        _ => {}
    }
}

fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn unknown_keys(text: &str, known: &[(&str, &[&str])]) -> Vec<String> {
    let mut found = Vec::new();
    for document in documents(text) {
        unknown(&document, "", known, &mut found);
    }
    found
}

#[test]
fn traefik_and_istio_know_every_key() {
    let (traefik, istio) = (shipped("traefik/dynamic.yaml"), shipped("istio/mesh.yaml"));
    assert_eq!(unknown_keys(&traefik, TRAEFIK), [""; 0]);
    assert_eq!(unknown_keys(&istio, ISTIO), [""; 0]);
    // And would miss one that is misspelt.
    for (text, known, right, wrong) in [
        (&traefik, TRAEFIK, "trustForwardHeader:", "trustForwardHeaders:"),
        (&traefik, TRAEFIK, "      middlewares: [", "      middleware: ["),
        (&traefik, TRAEFIK, "  routers:", "  router:"),
        (&istio, ISTIO, "failOpen:", "failopen:"),
        (&istio, ISTIO, "notPaths:", "notPath:"),
    ] {
        assert!(text.contains(right), "{right}");
        assert!(!unknown_keys(&text.replacen(right, wrong, 1), known).is_empty(), "{wrong}");
    }
}

#[test]
fn ingress_nginx_knows_every_annotation_and_kubernetes_the_rest() {
    for document in documents(&shipped("ingress-nginx/ingress.yaml")) {
        for name in document["metadata"]["annotations"].as_object().unwrap().keys() {
            let known =
                name.strip_prefix("nginx.ingress.kubernetes.io/").is_some_and(|name| INGRESS_NGINX.contains(&name));
            assert!(known, "{name}");
        }
    }
    require!(KubernetesValidate);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/ingress-nginx/ingress.yaml");
    let mut command = Command::new(Counterpart::KubernetesValidate.program());
    let output = command.args(["--strict", "--quiet"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
