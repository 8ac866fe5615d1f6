//! What only a real Redis can show: it goes and comes back, its master changes, it asks who we are.
