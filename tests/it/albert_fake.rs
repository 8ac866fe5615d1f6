//! The fake of Albert API answers as the real ones were seen to.
