//! Randomness as an argument: the source of unguessable bytes, and a repeatable one for tests.
//!
//! Whatever needs randomness (a session's identifier, a `state`, an AEAD nonce) takes a
//! `&dyn Random`. Only `app` and the demo make the system's one.

use ring::rand::SecureRandom;

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `bytes` with random bytes.
    ///
    /// # Errors
    /// When the operating system gives none; nothing may go on with guessable bytes.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// `N` random bytes.
///
/// # Errors
/// [`NoRandomness`], as [`Random::fill`].
pub fn bytes<const N: usize>(random: &dyn Random) -> Result<[u8; N], NoRandomness> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}

/// The operating system's generator.
#[derive(Debug)]
pub struct SystemRandom(ring::rand::SystemRandom);

impl SystemRandom {
    /// The operating system's generator.
    #[expect(clippy::new_without_default, reason = "made on purpose, in one place")]
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system for randomness")]
        let generator = ring::rand::SystemRandom::new();
        Self(generator)
    }
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        self.0.fill(bytes).map_err(|_| NoRandomness)
    }
}
