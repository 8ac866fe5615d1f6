//! The stores, through their public face: one contract for all of them, and what only a real Redis
//! can show.

mod contract;
mod redis;
mod seats;
mod start;
