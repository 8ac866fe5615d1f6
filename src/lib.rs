//! Vestibule: the ProConnect sign-in sidecar.
//!
//! Rooms, lowest first; a file imports from lower rooms, never upward
//! (`docs/architecture.md` explains, `tests/it/architecture.rs` enforces):
//!
//! ```text
//!  6  app · main      config/   pages/   telemetry   demo/
//!  5  server/         listeners, proxy phases, admin: all that names Pingora
//!  4  gate/  login/   the decision · the sign-in
//!     credentials/    what an upstream needs to trust a request
//!  3  session/        state, sealed form, limits
//!     bearer/         the tokens of API clients
//!     seats/          licences, and who has a seat
//!  2  oidc/  store/   the protocol, hidden behind Provider · the state kept between requests
//!  1  seal  signing  fetch  web/
//!  0  secret  clock  random  claims
//! ```

pub mod app;
pub mod bearer;
pub mod claims;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod demo;
pub mod fetch;
pub mod gate;
pub mod login;
pub mod oidc;
pub mod pages;
pub mod random;
pub mod seal;
pub mod seats;
pub mod secret;
pub mod server;
pub mod session;
pub mod signing;
pub mod store;
pub mod telemetry;
pub mod web;
