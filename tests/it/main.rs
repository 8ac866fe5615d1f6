//! Tests of the whole: the real sidecar against providers, apps, browsers and raw sockets.
//!
//! One binary, one module for each behaviour; `support` is what they stand on.
#![cfg(test)]

mod admin;
mod admin_sessions;
mod albert;
mod albert_accounts;
mod albert_client;
mod albert_errors;
mod albert_fake;
mod albert_life;
mod albert_model;
mod albert_restart;
mod albert_secrets;
mod architecture;
mod attacks;
mod callback;
mod counterparts;
mod credentials;
mod demo;
mod dependencies;
mod endings;
mod envelope;
mod forward_auth;
mod front_proxies;
mod headers;
mod hygiene;
mod import_albert;
mod import_oauth2_proxy;
mod keys;
mod kubernetes;
mod life;
mod listeners;
mod live;
mod logs;
mod my_sessions;
mod oauth2_proxy;
mod opengatellm;
mod pages;
mod playground;
mod playground_real;
mod programs;
mod provider_logout;
mod readme;
mod real;
mod real_attacks;
mod real_provider;
mod refresh;
mod replicas;
mod session;
mod sign_in;
mod sign_out;
mod stores;
mod streaming;
mod support;
mod upstream;
