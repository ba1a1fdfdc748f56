//! Numbers that stand for things, for seeds and comparisons within a process.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A number that stands for `thing`: the same in every run of the same build.
pub(crate) fn stable_hash(thing: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}
