//! Rules, and what is remembered by them.

use super::*;

#[test]
fn nothing_yet() {}
