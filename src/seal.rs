//! The key ring and the sealed form of everything that we hand to a browser.

/// A key's name and its 32 secret bytes.
pub struct KeyMaterial {
    /// The name it has in the configuration.
    pub id: String,
    /// 32 random bytes.
    pub secret: zeroize::Zeroizing<[u8; 32]>,
}

/// The current key and the former ones.
pub struct KeyRing;

impl KeyRing {
    /// A ring whose first key seals and all of whose keys open. `None` when empty.
    pub fn new(_keys: Vec<KeyMaterial>) -> Option<Self> {
        todo!()
    }
}
